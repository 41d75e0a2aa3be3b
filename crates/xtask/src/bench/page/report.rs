//! What was measured, as a table or as JSON.

use serde::Serialize;

use super::contestants::Engine;
use super::{Side, median};
use crate::table;

/// An engine's training of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    model: &'static str,
    engine: &'static str,
    /// What it computes on, by its own words.
    device: String,
    parameters: u64,
    vocab_size: u32,
    /// Of each round.
    rounds: Vec<f64>,
    /// Their median.
    tokens_per_s: f64,
    /// By our model's operations per token, whoever trains.
    gflops: f64,
    share_of_product: f64,
    /// Times the fastest of the peer's engines.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_peers_best: Option<f64>,
    /// Times the peer's WebGPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    to_peers_webgpu: Option<f64>,
    /// Of the last round, at its beginning and at its end.
    losses: [f64; 2],
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub browser: String,
    pub peer: &'static str,
    pub batch_size: u32,
    pub rounds: u32,
    pub product_size: usize,
    pub product_gflops: f64,
    pub rows: Vec<Row>,
    /// Reasons not to believe these figures.
    pub doubts: Vec<String>,
}

/// A model's rows. `peak` is of the product, in operations per second.
pub fn rows(model: &'static str, peak: f64, sides: &[Side]) -> Vec<Row> {
    let speed = |side: &Side| median(side.rounds.iter().copied());
    let peers = || sides.iter().filter(|side| !side.engine.is_ours());
    let best = peers().map(speed).reduce(f64::max);
    let webgpu = peers().find(|side| side.engine == Engine::NpmWebgpu).map(speed);
    let flops_per_token = sides.iter().find_map(|side| side.last.as_ref()?.flops_per_token).unwrap_or(f64::NAN);
    let row = |side: &Side| {
        let last = side.last.clone()?;
        let (tokens_per_s, is_ours) = (speed(side), side.engine.is_ours());
        let flops = tokens_per_s * flops_per_token;
        Some(Row {
            model,
            engine: side.engine.name(),
            device: last.device,
            parameters: last.parameters,
            vocab_size: last.vocab_size,
            rounds: side.rounds.clone(),
            tokens_per_s,
            gflops: flops / 1e9,
            share_of_product: flops / peak,
            to_peers_best: best.filter(|_| is_ours).map(|best| tokens_per_s / best),
            to_peers_webgpu: webgpu.filter(|_| is_ours).map(|webgpu| tokens_per_s / webgpu),
            losses: last.losses,
        })
    };
    sides.iter().filter_map(row).collect()
}

impl Report {
    /// Prints it.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string_pretty(self).expect("plain numbers and strings"));
        } else {
            print!("{}", self.text());
        }
    }

    fn text(&self) -> String {
        let head = ["training", "tokens/s", "GFLOP/s", "of one thread's peak", "to nanogpt's best", "to its WebGPU"];
        let mut cells = vec![head.map(String::from).to_vec()];
        for row in &self.rows {
            let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.1}"));
            cells.push(vec![
                format!("{}: {}", row.model, row.engine),
                format!("{:.0}", row.tokens_per_s),
                format!("{:.2}", row.gflops),
                format!("{:.1} %", 100.0 * row.share_of_product),
                ratio(row.to_peers_best),
                ratio(row.to_peers_webgpu),
            ]);
        }
        let mut devices: Vec<String> = Vec::new();
        for row in &self.rows {
            let line = format!("{}: {}", row.engine, row.device);
            if !devices.contains(&line) {
                devices.push(line);
            }
        }
        format!(
            "{}\npeak: {:.1} GFLOP/s, the product of {2} x {2} matrices in one thread of WebAssembly\n{3}, nanogpt {4}, batches of {5}, medians \
             of {6} rounds\n{7}\n",
            table::align(&cells),
            self.product_gflops,
            self.product_size,
            self.browser,
            self.peer,
            self.batch_size,
            self.rounds,
            devices.join("\n"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Training;
    use super::*;

    fn side(engine: Engine, speed: f64) -> Side {
        let last = Training {
            steps: 2,
            seconds: 1.0,
            losses: [4.0, 3.0],
            device: "it".into(),
            vocab_size: 65,
            parameters: 1,
            flops_per_token: engine.is_ours().then_some(1e6),
        };
        Side { engine, rounds: vec![speed / 2.0, speed, speed * 2.0], last: Some(last) }
    }

    #[test]
    fn ours_stands_beside_the_peers_best_and_its_webgpu() {
        let sides = [
            side(Engine::Cpu, 6000.0),
            side(Engine::Webgpu, 128.0),
            side(Engine::NpmWebgl, 500.0),
            side(Engine::NpmWebgpu, 64.0),
        ];
        let report = Report {
            browser: "chrome 1".into(),
            peer: "1.3.0",
            batch_size: 4,
            rounds: 3,
            product_size: 512,
            product_gflops: 12.0,
            rows: rows("nano", 12e9, &sides),
            doubts: Vec::new(),
        };
        let text = report.text();
        let cells: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(cells[1], ["nano: Inkling, CPU (1 thread)", "6000", "6.00", "50.0 %", "12.0", "93.8"]);
        assert_eq!(cells[2], ["nano: Inkling, WebGPU", "128", "0.13", "1.1 %", "0.3", "2.0"]);
        assert_eq!(cells[3], ["nano: nanogpt, WebGL", "500", "0.50", "4.2 %", "-", "-"]);
        assert!(text.contains("peak: 12.0 GFLOP/s, the product of 512 x 512 matrices"), "{text}");
    }
}
