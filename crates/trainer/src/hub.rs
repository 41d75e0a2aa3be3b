//! Models of the Hugging Face hub: fetched once, then read from the cache.
//!
//! | environment | |
//! |---|---|
//! | `HF_ENDPOINT` | the hub's address (a mirror's), instead of <https://huggingface.co> |
//! | `HF_TOKEN` | sent to that host alone, for models that are private or gated |
//! | `INKLING_CACHE` | the cache folder |
//!
//! What cannot be used is found out before the weights are fetched: `config.json` and `tokenizer.json` come first and are read.

mod connection;
mod name;
mod snapshot;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use inkling_core::checkpoint::{self, CONFIG_FILE, INDEX_FILE, MODEL_FILE, TOKENIZER_FILE};
use ureq::http::Method;

pub use name::ModelName;
pub use snapshot::Snapshot;

use crate::cache_folder;
use crate::corpus::Freshness;
use crate::error::{Error, Result};
use crate::run_folder::read;
use crate::terminal::Terminal;
use connection::Connection;
use transfer::{Failure, Transfer};

/// The public hub.
const ENDPOINT: &str = "https://huggingface.co";

/// The wait before a second attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// A hub and the cache in front of it.
#[derive(Debug)]
pub struct Hub<'a> {
    connection: Connection,
    cache: PathBuf,
    pause: Duration,
    terminal: &'a Terminal,
}

/// A model on this machine.
#[derive(Debug)]
pub struct Fetched {
    /// Its files.
    pub snapshot: Snapshot,
    /// Whether they were there before.
    pub was_cached: bool,
}

impl<'a> Hub<'a> {
    /// The hub, token and cache of this environment.
    pub fn from_environment(terminal: &'a Terminal) -> Result<Self> {
        let variable =
            |name| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into());
        let connection = Connection::new(endpoint.trim_end_matches('/').into(), variable("HF_TOKEN"));
        Ok(Self { connection, cache: cache_folder::locate()?, pause: PAUSE, terminal })
    }

    /// The model's folder, fetched if it must be.
    ///
    /// # Errors
    /// [`Error::Hub`] says why the hub does not give it and what to do; [`Error::Altered`] names a file with another checksum than the
    /// hub's; [`Error::Checkpoint`] what is not supported about it.
    pub fn fetch(&self, name: &ModelName, freshness: Freshness) -> Result<Fetched> {
        if freshness == Freshness::CachedWillDo
            && let Some(snapshot) = Snapshot::latest(&self.cache, name).filter(Snapshot::is_complete)
        {
            return Ok(Fetched { snapshot, was_cached: true });
        }
        let mut snapshot = Snapshot::of(&self.cache, name, self.commit(name)?);
        let was_cached = snapshot.is_complete();
        if !was_cached {
            self.terminal.note(&format!("fetching {} from {}", name.repository, self.connection.endpoint()));
            snapshot.create()?;
            self.download(name, &mut snapshot)?;
        }
        snapshot.finish()?;
        Ok(Fetched { snapshot, was_cached })
    }

    /// The commit that the revision is at now. A hub that does not say (a plain mirror) has no other than the revision.
    fn commit(&self, name: &ModelName) -> Result<String> {
        let url = self.url(name, &name.revision, CONFIG_FILE);
        let asked = self.connection.ask(&Method::HEAD, &url, 0);
        let answer = asked.map_err(|problem| self.explain(name, CONFIG_FILE, Failure::Network(problem)))?;
        if answer.status != 200 {
            return Err(self.explain(name, CONFIG_FILE, Failure::Status(answer.status, answer.error_code)));
        }
        Ok(answer.commit.filter(|commit| name::is_part(commit)).unwrap_or_else(|| name.revision.clone()))
    }

    /// Fetches the files of a commit that are not there yet, the small ones first.
    fn download(&self, name: &ModelName, snapshot: &mut Snapshot) -> Result<()> {
        let (folder, commit) = (snapshot.folder.clone(), snapshot.commit.clone());
        let transfer =
            Transfer { connection: &self.connection, folder: &folder, pause: self.pause, terminal: self.terminal };
        let mut fetch = |file: &str| {
            if !snapshot.has(file) {
                let arrived = transfer.fetch(&self.url(name, &commit, file), file)?;
                snapshot.add(file, arrived)?;
            }
            Ok(())
        };
        // Each of these is one small file.
        let read = |file: &str| {
            let bytes = read::file(&folder, file)?;
            Result::Ok(move |_: &str| Ok(bytes.clone()))
        };
        let unsupported = |problem| Error::Checkpoint {
            folder: folder.clone(),
            problem: Box::new(problem),
            hint: "take another model: those of the families gpt2, llama, mistral and qwen3 are understood".into(),
        };
        for file in [CONFIG_FILE, TOKENIZER_FILE] {
            fetch(file).map_err(|failure| self.explain(name, file, failure))?;
        }
        checkpoint::read_config(read(CONFIG_FILE)?).map_err(unsupported)?;
        checkpoint::read_tokenizer(read(TOKENIZER_FILE)?).map_err(unsupported)?;
        match fetch(MODEL_FILE) {
            Ok(()) => return Ok(()),
            Err(Failure::Status(404, _)) => {}
            Err(failure) => return Err(self.explain(name, MODEL_FILE, failure)),
        }
        fetch(INDEX_FILE).map_err(|failure| match failure {
            // Neither: the file that most models have is the one to name.
            Failure::Status(404, code) => self.explain(name, MODEL_FILE, Failure::Status(404, code)),
            other => self.explain(name, INDEX_FILE, other),
        })?;
        for shard in checkpoint::read_shard_names(read(INDEX_FILE)?).map_err(unsupported)? {
            fetch(&shard).map_err(|failure| self.explain(name, &shard, failure))?;
        }
        Ok(())
    }

    fn url(&self, name: &ModelName, revision: &str, file: &str) -> String {
        format!("{}/{}/resolve/{revision}/{file}", self.connection.endpoint(), name.repository)
    }

    /// A failure as a sentence with what to do.
    fn explain(&self, name: &ModelName, file: &str, failure: Failure) -> Error {
        let endpoint = self.connection.endpoint();
        let page = format!("{endpoint}/{}", name.repository);
        let no_model = format!("there is no such model at {endpoint}");
        let gated = if self.connection.has_token() {
            format!("accept its terms at {page} with the account of your HF_TOKEN, and see that the token may read it")
        } else {
            format!(
                "if it exists and asks for your agreement, give it at {page} and set HF_TOKEN to a token of your account"
            )
        };
        let (problem, hint) = match failure {
            Failure::Other(error) => return error,
            Failure::Network(problem) => (
                format!("{endpoint} does not give {file}: {problem}"),
                "what has arrived is kept, and the next attempt goes on from there; check the network, name a mirror with \
                 HF_ENDPOINT, or copy the model's folder from elsewhere and pass its path"
                    .into(),
            ),
            Failure::Status(401, _) => (format!("{no_model}, or it is private or gated (status 401)"), gated),
            Failure::Status(403, _) => ("it is gated or private: access is refused (status 403)".into(), gated),
            Failure::Status(404, Some(code)) if code == "EntryNotFound" => (
                format!("it has no {file}"),
                "a model needs config.json, tokenizer.json and its weights as safetensors; look for another copy of it that \
                 has them"
                    .into(),
            ),
            Failure::Status(404, Some(code)) if code == "RevisionNotFound" => {
                (format!("it has no revision {}", name.revision), format!("its branches and tags are at {page}/tree"))
            }
            Failure::Status(404, _) => {
                (format!("{no_model}, or it has no {file} (status 404)"), format!("check the name at {endpoint}/models"))
            }
            Failure::Status(status, _) => {
                (format!("{endpoint} answered with status {status} when asked for {file}"), "try again later".into())
            }
        };
        Error::Hub { name: name.repository.clone(), problem, hint }
    }
}
