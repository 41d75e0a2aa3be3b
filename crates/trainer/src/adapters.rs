//! LoRA adapters on disk: a folder of PEFT's form whose base lies elsewhere. With its base it stands for a whole model.
//!
//! Adapters that Inkling trained know the SHA-256 of their base's weights: with any other base they are refused.

use std::path::Path;

use clap::Args;
use inkling_core::checkpoint::{
    ADAPTER_CONFIG_FILE, ADAPTER_FILE, AdapterConfig, Checkpoint, TrainingState, read_adapters,
};
use inkling_core::lora::{BaseFormat, LoraConfig};
use inkling_core::train::fine_tuning;
use inkling_core::{Error as Core, Weights, weights};

use crate::error::{Error, Result};
use crate::model_source::{self, LoadedModel};
use crate::run_folder::read;
use crate::terminal::Terminal;

/// `--lora-…` of `trainer train`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Low-rank adaptation (with --from)")]
pub struct LoraArguments {
    /// Freeze the base and train adapters of this rank
    #[arg(long, value_name = "R", requires = "from")]
    lora_rank: Option<usize>,
    /// Adapters count ALPHA / R times [default: 16]
    #[arg(long, value_name = "ALPHA", requires = "lora_rank", allow_negative_numbers = true)]
    lora_alpha: Option<f32>,
    /// Matrices that get adapters: attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj, or the ends of these names; c_proj means both
    /// [default: c_attn,c_proj]
    #[arg(long, value_name = "NAMES", requires = "lora_rank", value_delimiter = ',')]
    lora_targets: Vec<String>,
    /// How the base's matrices are kept
    #[arg(long, value_enum, requires = "lora_rank")]
    lora_base: Option<Format>,
}

/// `--lora-base`
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Float16 (the default)
    F16,
    /// 4.5 bits a weight: a quarter of the memory, a coarser base
    Q4,
}

impl LoraArguments {
    /// What was asked for.
    pub fn config(&self) -> Option<LoraConfig> {
        let default = LoraConfig::default();
        let given = |targets: &Vec<String>| (!targets.is_empty()).then(|| targets.clone());
        Some(LoraConfig {
            r: self.lora_rank?,
            lora_alpha: self.lora_alpha.unwrap_or(default.lora_alpha),
            target_modules: given(&self.lora_targets).unwrap_or(default.target_modules),
            base: match self.lora_base {
                Some(Format::Q4) => BaseFormat::Q4,
                Some(Format::F16) | None => BaseFormat::F16,
            },
        })
    }

    /// Whether any was given: none may be with `--resume`. The others require this one.
    pub fn given(&self) -> bool {
        self.lora_rank.is_some()
    }
}

/// Adapters with their base.
#[derive(Debug)]
pub struct Adapted {
    /// What they are of.
    pub config: AdapterConfig,
    /// The base, as it was trained: perhaps with a shorter context.
    pub base: Checkpoint,
    /// A and B of each adapted matrix.
    pub adapters: Weights,
    /// Of a run.
    pub training: Option<TrainingState>,
    /// Bytes of their file and of the base's.
    pub weight_bytes: u64,
}

/// Whether a folder holds adapters rather than a model.
pub fn is_adapter(folder: &Path) -> bool {
    folder.join(ADAPTER_CONFIG_FILE).is_file() && !folder.join(read::CONFIG).is_file()
}

impl Adapted {
    /// Reads a folder and its base, or another place where that lies.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] names what is damaged or does not fit; [`Error::OtherBase`] where the base is not the one that was adapted.
    pub fn load(folder: &Path, base: Option<&str>, terminal: &Terminal) -> Result<Self> {
        let damaged = |problem| Error::Checkpoint {
            folder: folder.into(),
            problem: Box::new(problem),
            hint: "take a copy of it that is whole, or another checkpoint: a run has best/ and last/".into(),
        };
        let file = |name: &str| {
            let found = read::file(folder, name);
            found.map_err(|error| Core::Checkpoint { file: name.into(), problem: error.to_string() })
        };
        let config = match file(ADAPTER_CONFIG_FILE) {
            Ok(Some(bytes)) => AdapterConfig::parse(&bytes).map_err(damaged)?,
            Ok(None) => return Err(damaged(Core::Lora(format!("{ADAPTER_CONFIG_FILE} is missing")))),
            Err(problem) => return Err(damaged(problem)),
        };
        let path = base.unwrap_or(&config.base);
        let LoadedModel { checkpoint: mut base, weight_bytes, .. } =
            model_source::load_base(path, terminal).map_err(|problem| match problem {
                Error::AdaptedBase { .. } => problem,
                other => Error::Base { adapters: folder.into(), base: path.into(), problem: Box::new(other) },
            })?;
        if let Some(origin) = &config.origin {
            let found = weights::sha256(&base.weights);
            if found != origin.base_sha256 {
                let expected = origin.base_sha256.clone();
                return Err(Error::OtherBase { adapters: folder.into(), base: path.into(), expected, found });
            }
            fine_tuning::adapt(&base.config, &mut base.weights, &origin.model).map_err(damaged)?;
            base.config = origin.model.clone();
        }
        let (adapters, training) = read_adapters(&config, &base.config, file).map_err(|problem| match problem {
            Core::Checkpoint { ref file, .. } if file == ADAPTER_FILE && config.origin.is_none() => Error::Checkpoint {
                folder: folder.into(),
                problem: Box::new(problem),
                hint: format!("these may be adapters of another model than {path}: name theirs with --base"),
            },
            other => damaged(other),
        })?;
        let own = folder.join(ADAPTER_FILE);
        let weight_bytes = weight_bytes + own.metadata().map_err(Error::io("read", &own))?.len();
        Ok(Self { config, base, adapters, training, weight_bytes })
    }

    /// The whole model.
    pub fn merged(self) -> Checkpoint {
        let Self { config, mut base, adapters, .. } = self;
        config.merge(&mut base.weights, &adapters);
        base
    }
}

/// What adapters of the model `from` say that they are of: a path from anywhere, or a name of the hub.
pub fn reference(from: &str) -> String {
    match Path::new(from).canonicalize() {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(_) => from.into(),
    }
}
