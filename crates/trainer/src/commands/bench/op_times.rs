//! Where a training step's time goes: seconds per op name and pass, from replaying the recorded program op by op.

use std::collections::BTreeMap;

use crate::error::Result;
use inkling_core::engine::Engine;
use inkling_core::program::Pass;
use inkling_core::step::{Mode, Step};
use serde_json::json;

use crate::format::{self, Align};

/// Steps that are averaged.
const STEPS: usize = 10;

/// All ops of one name in one pass.
#[derive(Clone, Debug)]
struct Row {
    pass: &'static str,
    op: &'static str,
    count: usize,
    /// Of one step.
    ms: f64,
    /// Of all time.
    share: f64,
    gflops: f64,
    share_of_peak: f64,
}

/// The table, slowest first.
#[derive(Clone, Debug)]
pub struct OpTimes {
    rows: Vec<Row>,
}

impl OpTimes {
    /// Replays whole steps on the batch that the engine holds.
    pub async fn measure(engine: &mut Engine, peak_gflops: f64) -> Result<Self> {
        let step = Step { mode: Mode::Train, ..Step::default() };
        let passes = [(Pass::Forward, "forward"), (Pass::Backward, "backward"), (Pass::Update, "update")];
        /// Ops, seconds and floating-point operations of one step.
        #[derive(Default)]
        struct Sum(usize, f64, u64);
        let mut sums = BTreeMap::<(&str, &str), Sum>::new();
        for (pass, name) in passes {
            for op in engine.program().ops(pass) {
                let sum = sums.entry((name, op.name())).or_default();
                (sum.0, sum.2) = (sum.0 + 1, sum.2 + op.flops());
            }
        }
        for _ in 0..STEPS {
            for (pass, name) in passes {
                let seconds = engine.replay_timed(pass, &step).await?;
                for (op, seconds) in engine.program().ops(pass).iter().zip(seconds) {
                    sums.entry((name, op.name())).or_default().1 += seconds / STEPS as f64;
                }
            }
        }
        let total: f64 = sums.values().map(|sum| sum.1).sum();
        let row = |((pass, op), Sum(count, seconds, flops)): ((&'static str, &'static str), Sum)| {
            let gflops = flops as f64 / seconds / 1e9;
            let share_of_peak = gflops / peak_gflops;
            Row { pass, op, count, ms: 1e3 * seconds, share: seconds / total, gflops, share_of_peak }
        };
        let mut rows: Vec<Row> = sums.into_iter().map(row).collect();
        rows.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        Ok(Self { rows })
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
            ("of peak", Right),
        ];
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let row = |row: &Row| {
            // Ops that only move memory have no floating-point speed.
            let computes = row.gflops > 0.0;
            vec![
                row.pass.into(),
                row.op.into(),
                row.count.to_string(),
                format!("{:.3}", row.ms),
                percent(row.share),
                if computes { format!("{:.1}", row.gflops) } else { "-".into() },
                if computes { percent(row.share_of_peak) } else { "-".into() },
            ]
        };
        format::table(&columns, &self.rows.iter().map(row).collect::<Vec<_>>())
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let row = |row: &Row| {
            json!({
                "pass": row.pass, "op": row.op, "count": row.count, "ms_per_step": row.ms, "share": row.share,
                "gflops": row.gflops, "share_of_peak": row.share_of_peak,
            })
        };
        self.rows.iter().map(row).collect()
    }
}
