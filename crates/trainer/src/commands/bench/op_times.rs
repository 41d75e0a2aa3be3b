//! Where a training step's time goes: seconds per op name and pass, from replaying the recorded program op by op.
//!
//! Each is held against its floor, the time that the device's measured peaks allow at best:
//!
//! ```text
//! floor = max(FLOPs / peak FLOP/s, bytes / peak copy bandwidth)       summed over the ops of a row
//! ```
//!
//! `--help` has the FLOPs and bytes of every op ([`FLOORS`]). The bytes are those that the op's GPU kernels are given: small tensors stay in a
//! cache, so an op can be faster than its floor. On the CPU, whose caches hold most of what a step touches, only the FLOPs count.

use std::collections::BTreeMap;

use inkling_core::engine::Engine;
use inkling_core::program::Pass;
use inkling_core::step::{Mode, Step};
use serde_json::json;

use super::peaks::Peaks;
use super::repetitions::Effort;
use crate::error::Result;
use crate::format::{self, Align};

/// What the floors are made of.
pub const FLOORS: &str = "\
--ops holds every op of a training step against its floor, max(FLOPs / peak, bytes / copy bandwidth). With M = B T rows, K inputs \
and N outputs of a layer, C channels, E of the keys, F hidden channels, V tokens, H heads, P parameters, W = T or a shorter sliding \
window, and L = B C W (2 T + 1 - W) / 2:

  op                               FLOPs    elements that the GPU's kernels are given
  embedding                        0        ids M, tables (V + T) C, output M C
  layernorm                        0        input, output M C, gain, bias C, statistics 2 M
  rmsnorm                          0        input, output M C, gain C, statistics M
  query and key norm               0        q, k, v, input and output 6 M C, 2 gains, statistics 2 M H
  linear                           2 M N K  input M K, weight N K, bias N, output M N
  linear + activation              2 M N K  as linear, and the slope M N
  linear + residual                2 M N K  as linear, and the residual M N
  rope                             0        q, k, v 3 M C, the table T C / H
  swiglu                           0        gate, up 2 M F, output M F
  attention                        4 L      queries M C, keys, values 2 M E, output M C, log-sum-exp M H
  head                             2 M V C  as linear (N = V), targets, losses M, gradient M V
  cross-entropy                    0        logits M V, targets, losses, log-sum-exp M
  mean loss                        0        losses M
  head backward                    0        on a GPU none: head has done it
  cross-entropy backward           0        logits, gradient M V, targets, log-sum-exp M
  accumulate loss                  0        1
  linear backward dX               2 M N K  gradients M N, M K, weight N K
  linear backward dX + activation  2 M N K  the same, and the slope M K
  linear backward dW               2 M N K  gradient M N, input M K, dW N K, dbias N
  attention backward               10 L     as attention, gradients 2 M C, 2 M E
  rope backward                    0        as rope, of gradients
  swiglu backward                  0        gate, up 2 M F, gradients 3 M F
  dropout backward                 0        gradients 2 M C
  layernorm backward               0        gradients 2 M C, input M C, statistics 2 M, 2 C
  rmsnorm backward                 0        gradients 2 M C, input M C, statistics M, C
  query and key norm backward      0        gradients 6 M C, input 3 M C, statistics 2 M H, 2 gains
  embedding backward               0        ids M, gradients M C, (V + T) C
  gradient norm                    0        gradients P
  loss scale                       0        a few
  adamw                            0        4 P: weights, gradients, moments; a float16 copy
  moving average                   0        weights, average 2 P
  record step                      0        a few

An element is 4 bytes, in float16 2. It counts once for each kernel that reads or assigns it, twice where the kernel changes it; \
partial sums between the kernels of an op count too. On the CPU, where most of them stay in a cache, bytes do not count.";

/// All ops of one name in one pass.
#[derive(Clone, Debug)]
struct Row {
    pass: &'static str,
    op: &'static str,
    count: usize,
    /// Of one step.
    seconds: f64,
    flops: u64,
    /// Moved at least; 0 on the CPU.
    bytes: u64,
    /// The least that it could take.
    floor: f64,
}

impl Row {
    fn gflops(&self) -> f64 {
        self.flops as f64 / self.seconds / 1e9
    }

    fn gb_per_s(&self) -> f64 {
        self.bytes as f64 / self.seconds / 1e9
    }

    fn share_of_floor(&self) -> f64 {
        self.floor / self.seconds
    }
}

/// The table, slowest first.
#[derive(Clone, Debug)]
pub struct OpTimes {
    rows: Vec<Row>,
    peaks: Peaks,
}

impl OpTimes {
    /// Replays whole steps on the batch that the engine holds.
    pub async fn measure(engine: &mut Engine, peaks: Peaks, effort: Effort) -> Result<Self> {
        let steps = match effort {
            Effort::Full => 10,
            Effort::Least => 1,
        };
        let step = Step { mode: Mode::Train, ..Step::default() };
        let passes = [(Pass::Forward, "forward"), (Pass::Backward, "backward"), (Pass::Update, "update")];
        let mut rows = BTreeMap::<(&str, &str), Row>::new();
        for (pass, name) in passes {
            let ops = engine.program().ops(pass);
            let bytes = engine.gpu_costs(pass).map_or_else(|| vec![0; ops.len()], |costs| costs.bytes);
            for (op, bytes) in ops.iter().zip(bytes) {
                let (op, flops) = (op.name(), op.flops());
                let new = Row { pass: name, op, count: 0, seconds: 0.0, flops: 0, bytes: 0, floor: 0.0 };
                let row = rows.entry((name, op)).or_insert(new);
                row.count += 1;
                row.flops += flops;
                row.bytes += bytes;
                row.floor += peaks.floor(flops, bytes);
            }
        }
        for _ in 0..steps {
            for (pass, name) in passes {
                let times = engine.replay_timed(pass, &step).await?;
                for (op, seconds) in engine.program().ops(pass).iter().zip(times) {
                    rows.entry((name, op.name())).and_modify(|row| row.seconds += seconds / f64::from(steps));
                }
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok(Self { rows, peaks })
    }

    fn total(&self) -> f64 {
        self.rows.iter().map(|row| row.seconds).sum()
    }

    /// For people.
    pub fn table(&self) -> String {
        use Align::{Left, Right};
        let columns = [
            ("pass", Left),
            ("op", Left),
            ("count", Right),
            ("ms per step", Right),
            ("share", Right),
            ("GFLOP/s", Right),
            ("GB/s", Right),
            ("floor ms", Right),
            ("floor/actual", Right),
        ];
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        // What an op does not do (or nobody counts) has no speed.
        let speed = |value: f64| if value > 0.0 { format!("{value:.1}") } else { "-".into() };
        let floors = |floor: f64, seconds: f64| match floor {
            0.0 => ["-".into(), "-".into()],
            _ => [format!("{:.3}", 1e3 * floor), percent(floor / seconds)],
        };
        let total = self.total();
        let row = |row: &Row| {
            let [floor, share_of_floor] = floors(row.floor, row.seconds);
            vec![
                row.pass.into(),
                row.op.into(),
                row.count.to_string(),
                format!("{:.3}", 1e3 * row.seconds),
                percent(row.seconds / total),
                speed(row.gflops()),
                speed(row.gb_per_s()),
                floor,
                share_of_floor,
            ]
        };
        let mut rows: Vec<Vec<String>> = self.rows.iter().map(row).collect();
        let [floor, share_of_floor] = floors(self.rows.iter().map(|row| row.floor).sum(), total);
        let flops: u64 = self.rows.iter().map(|row| row.flops).sum();
        let bytes: u64 = self.rows.iter().map(|row| row.bytes).sum();
        rows.push(vec![
            "all".into(),
            String::new(),
            self.rows.iter().map(|row| row.count).sum::<usize>().to_string(),
            format!("{:.3}", 1e3 * total),
            percent(1.0),
            speed(flops as f64 / total / 1e9),
            speed(bytes as f64 / total / 1e9),
            floor,
            share_of_floor,
        ]);
        format::table(&columns, &rows)
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let total = self.total();
        let row = |row: &Row| {
            let gflops = row.gflops();
            json!({
                "pass": row.pass, "op": row.op, "count": row.count, "ms_per_step": 1e3 * row.seconds,
                "share": row.seconds / total, "flops": row.flops, "bytes": row.bytes, "gflops": gflops,
                "share_of_peak": gflops / self.peaks.gflops, "gb_per_s": row.gb_per_s(), "floor_ms": 1e3 * row.floor,
                "share_of_floor": row.share_of_floor(),
            })
        };
        self.rows.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use inkling_core::config::{Activation, ModelConfig, Normalization, PositionEmbedding};
    use inkling_core::train::{TrainConfig, TrainingPrecision};

    use super::*;
    use crate::settings;

    #[test]
    fn every_op_of_every_training_step_is_in_the_table_of_floors_and_no_other() {
        let mut ops = std::collections::BTreeSet::new();
        let presets = ["tiny", "bigram", "minigpt-strong"].map(settings::named_preset).map(|p| (p.model, p.train));
        let variants = [ModelConfig {
            position_embedding_type: PositionEmbedding::Rope,
            normalization: Normalization::RmsNorm,
            activation_function: Activation::Swiglu,
            qk_norm: true,
            ..ModelConfig::default()
        }];
        let variants = variants.map(|model| (model, TrainConfig::default()));
        for (mut model, mut train) in presets.into_iter().chain(variants) {
            for vocab_size in [65, 5000] {
                for precision in [TrainingPrecision::F32, TrainingPrecision::F16] {
                    (model.vocab_size, model.dropout) = (vocab_size, 0.1);
                    (train.precision, train.ema_decay) = (precision, 0.9);
                    let (program, ..) = inkling_core::train::record(&model, &train).unwrap();
                    for pass in [Pass::Forward, Pass::Backward, Pass::Update] {
                        for op in program.ops(pass) {
                            ops.insert((op.name(), op.flops() > 0));
                        }
                    }
                }
            }
        }
        let rows = FLOORS.lines().filter(|line| line.starts_with("  ")).skip(1);
        let listed = rows.map(|row| {
            let (name, rest) = row.trim_start().split_once("  ").unwrap();
            (name, !rest.trim_start().starts_with("0 "))
        });
        assert_eq!(listed.collect::<std::collections::BTreeSet<_>>(), ops);
    }
}
