//! `cargo xtask bench --page`: how fast a browser's tab trains, next to npm's `@genai-fi/nanogpt`.
//!
//! One Chromium, one text, one vocabulary, batches of one size; every engine of both sides in turns, each in a fresh visit (`crates/xtask/bench` is the
//! page that does it). Ours is what visitors have: the program `learner` of the built page, by its own protocol, with the copies of the run that it keeps.
//! Whole updates are timed after a warm-up, on the clock of the page, without the texts that ours writes between some of them.
//!
//! Both sides' GFLOP/s count what our model takes per token, the products of the forward and backward pass and AdamW. They are set beside the product of
//! two matrices by our own kernel, one thread of WebAssembly in the same browser.

mod browser;
mod contestants;
mod peer;
mod report;
mod server;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::contention::Ticks;
use super::figures::{median, spread};
use super::{TOLERABLE_OTHERS, TOLERABLE_SPREAD};
use crate::browser::ensure_chromedriver;
use crate::error::{Error, Result};
use crate::page::{dist, finish};
use crate::process::{cargo, root, run as run_to_the_end};
use crate::toolchain::{WASM, ensure_target};
use browser::Browser;
use contestants::{Engine, MODELS, Model};
use report::{Report, Row};
use server::Server;

/// The profile of the page's programs (Trunk.toml).
const PROFILE: &str = "web";

/// Side of the matrices whose product is the peak: as large as the largest that these models multiply.
const PRODUCT: usize = 512;

/// Seconds of products in each round.
const PRODUCT_SECONDS: f64 = 2.0;

/// Of `--page`.
#[derive(clap::Args)]
pub struct Settings {
    /// Measure training in a browser, next to npm's @genai-fi/nanogpt
    #[arg(long, conflicts_with = "vs_torch")]
    page: bool,
    /// A page of `cargo xtask dist`, in place of building it
    #[arg(long, requires = "page", value_name = "DIR")]
    built: Option<PathBuf>,
    /// With --page: sequences per update
    #[arg(long, requires = "page", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch_size: u32,
    /// With --page: seconds of updates that each round measures at least, and at least two updates
    #[arg(long, requires = "page", value_name = "S", default_value_t = 8.0)]
    seconds: f64,
    /// With --page: engines to measure
    #[arg(long, requires = "page", value_enum, value_delimiter = ',', default_values_t = Engine::ALL)]
    engine: Vec<Engine>,
}

/// What the page answers about a training.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Training {
    steps: u32,
    seconds: f64,
    losses: [f64; 2],
    device: String,
    vocab_size: u32,
    parameters: u64,
    flops_per_token: Option<f64>,
}

/// What it answers about products.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Products {
    flops_per_second: f64,
}

/// An engine's rounds.
struct Side {
    engine: Engine,
    rounds: Vec<f64>,
    last: Option<Training>,
}

impl Settings {
    /// Whether the page is what is to be measured.
    pub fn is_wanted(&self) -> bool {
        self.page
    }
}

/// Everything that measurements need.
struct Bench<'a> {
    browser: Browser,
    server: Server,
    learner: String,
    corpus: String,
    arguments: &'a Settings,
    peaks: Vec<f64>,
    doubts: Vec<String>,
}

/// Measures and prints.
///
/// # Errors
/// What is missing, and figures that are not to be believed.
pub fn run(arguments: &Settings, rounds: u32, device: super::Device, json: bool) -> Result<()> {
    let page = match &arguments.built {
        Some(folder) => std::path::absolute(folder).map_err(finish::about(folder))?,
        None => dist::build(false)?,
    };
    let (learner, corpus) = (file(&page, "learner-start", "js")?, file(&page.join("data"), "tinyshakespeare", "txt")?);
    let folders = [("inkling", page), ("nanogpt", peer::ensure()?), ("product", build_product()?)];
    let server = Server::start(folders.into())?;
    let browser = Browser::start(&ensure_chromedriver()?, device)?;
    let (learner, corpus) = (format!("/inkling/{learner}"), format!("/inkling/data/{corpus}"));
    let mut bench = Bench { browser, server, learner, corpus, arguments, peaks: Vec::new(), doubts: Vec::new() };
    let mut rows = Vec::new();
    for model in MODELS {
        rows.extend(bench.model(model, rounds)?);
    }
    bench.doubt_spread("matrix products", spread(bench.peaks.iter().copied()));
    let report = Report {
        browser: bench.browser.version.clone(),
        peer: peer::VERSION,
        batch_size: arguments.batch_size,
        rounds,
        product_size: PRODUCT,
        product_gflops: median(bench.peaks.iter().copied()) / 1e9,
        rows,
        doubts: bench.doubts,
    };
    report.print(json);
    if report.doubts.is_empty() { Ok(()) } else { Err(Error::Doubtful(report.doubts.join("\n  "))) }
}

impl Bench<'_> {
    /// All engines in turns.
    fn model(&mut self, model: Model, rounds: u32) -> Result<Vec<Row>> {
        let new = |&engine| Side { engine, rounds: Vec::new(), last: None };
        let mut sides: Vec<Side> = self.arguments.engine.iter().map(new).collect();
        for round in 1..=rounds {
            let settings = json!({ "program": "/product/product.wasm", "size": PRODUCT, "seconds": PRODUCT_SECONDS });
            let products: Products = self.watched(&format!("round {round}, products"), "product", &settings)?;
            self.peaks.push(products.flops_per_second);
            for side in &mut sides {
                self.train(model, round, side)?;
            }
        }
        for side in &sides {
            let name = format!("{}, {}: tokens/s", model.name, side.engine.name());
            self.doubt_spread(&name, spread(side.rounds.iter().copied()));
        }
        let peak = median(self.peaks.iter().copied());
        Ok(report::rows(model.name, peak, &sides))
    }

    fn train(&mut self, model: Model, round: u32, side: &mut Side) -> Result<()> {
        let Side { engine, .. } = *side;
        let (what, program) =
            if engine.is_ours() { ("inkling", self.learner.clone()) } else { ("nanogpt", peer::PROGRAM.into()) };
        let settings = json!({
            "program": program,
            "backend": engine.backend(),
            "threads": engine.threads(),
            "corpus": self.corpus,
            "model": model.config(),
            "batchSize": self.arguments.batch_size,
            "seconds": self.arguments.seconds,
        });
        let name = format!("{} round {round}, {}", model.name, engine.name());
        let training: Training = self.watched(&name, what, &settings)?;
        let tokens = f64::from(training.steps * self.arguments.batch_size * model.context);
        let speed = tokens / training.seconds;
        let [first, last] = training.losses;
        eprintln!("{name}: {speed:.0} tokens/s ({} updates, loss {first:.2} to {last:.2})", training.steps);
        side.rounds.push(speed);
        side.last = Some(training);
        Ok(())
    }

    /// Measures on a fresh visit, with an eye on who else uses the machine.
    fn watched<T: DeserializeOwned>(&mut self, name: &str, what: &str, settings: &Value) -> Result<T> {
        self.browser.visit(&self.server.address())?;
        let start = Ticks::now();
        let answer = self.browser.measure(what, settings)?;
        let others = Ticks::now().zip(start).map(|(end, start)| end.others_since(&start));
        if let Some(others) = others.filter(|&others| others > TOLERABLE_OTHERS) {
            self.doubts.push(format!("{name}: other programs kept {others:.1} CPUs busy"));
        }
        serde_json::from_value(answer.clone()).map_err(|error| Error::Browser(format!("{name}: {error} in {answer}")))
    }

    fn doubt_spread(&mut self, name: &str, spread: f64) {
        if spread > TOLERABLE_SPREAD {
            self.doubts.push(format!("{name} differ {spread:.1} times between rounds"));
        }
    }
}

/// The one file of a folder that is called so but for the hash of its content.
fn file(folder: &Path, stem: &str, kind: &str) -> Result<String> {
    let entries = fs::read_dir(folder).map_err(finish::about(folder))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let ours = |name: &String| {
        let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(kind)?.strip_suffix('.'));
        rest.is_some_and(|hash| hash.is_empty() || hash.starts_with('-'))
    };
    names.into_iter().find(ours).ok_or_else(|| Error::Missing {
        what: folder.join(format!("{stem}.{kind}")).display().to_string(),
        remedy: "give a folder that `cargo xtask dist` wrote, or leave out --built".into(),
    })
}

/// The product of two matrices as a program, compiled like the page's. Returns the folder that it is in.
fn build_product() -> Result<PathBuf> {
    ensure_target(WASM)?;
    let mut build = cargo();
    build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.args(["build", "--quiet", "--package", "inkling-kernels", "--example", "product"]);
    run_to_the_end(build.args(["--profile", PROFILE, "--target", WASM]))?;
    Ok(root().join("target").join(WASM).join(PROFILE).join("examples"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_name_and_hash() {
        let folder = root().join("target/test-bench-files");
        fs::create_dir_all(&folder).unwrap();
        for name in ["learner-start-0123456789abcdef.js", "learner-0123456789abcdef.js", "learner-starter.js"] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(file(&folder, "learner-start", "js").unwrap(), "learner-start-0123456789abcdef.js");
        assert!(file(&folder, "page", "js").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
