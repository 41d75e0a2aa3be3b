//! Time on the device: of each op, for those who want to know, and of all work, so that submits can be kept short.

use web_time::Instant;

use super::device::AdapterKind;
use super::engine::{Gpu, LoadedOp, SUBMIT_SECONDS};
use super::readback::{Kind, Pending, staging_buffer};
use crate::error::{GpuError, Result};
use crate::program::{DType, Pass};
use crate::step::{Step, StepUniform};

/// How fast the device gets through work: measured from the first submit of an idle device until somebody has waited for the last one.
#[derive(Debug)]
pub(super) struct Pace {
    seconds_per_flop: f64,
    /// When the work that is under way began, and how much it is.
    busy: Option<(Instant, f64)>,
    /// Reads so far.
    reads: u64,
}

impl Pace {
    /// Share of the newest measurement.
    const WEIGHT: f64 = 0.3;

    /// A guess: a teraflop a second for hardware, half a gigaflop for a program on the processor.
    pub fn new(kind: AdapterKind) -> Self {
        Self { seconds_per_flop: if kind.is_hardware() { 1e-12 } else { 2e-9 }, busy: None, reads: 0 }
    }

    /// The estimate. Too high where the device waits for the host, which only makes submits shorter.
    pub fn seconds_per_flop(&self) -> f64 {
        self.seconds_per_flop
    }

    /// Takes note of a submit.
    pub fn submitted(&mut self, work: f64) {
        if work > 0.0 {
            let (started, before) = self.busy.unwrap_or_else(|| (Instant::now(), 0.0));
            self.busy = Some((started, before + work));
        }
    }

    /// Numbers a read that is asked for.
    pub fn asked(&mut self) -> u64 {
        self.reads += 1;
        self.reads
    }

    /// Takes note that a read has arrived. After the last one that was asked for, everything submitted is done; before, a browser may have
    /// all the rest still to do.
    pub fn finished(&mut self, read: u64) {
        if read == self.reads
            && let Some((started, work)) = self.busy.take()
        {
            self.learn(started.elapsed().as_secs_f64(), work);
        }
    }

    /// So much work took no longer than this.
    fn learn(&mut self, seconds: f64, work: f64) {
        let measured = seconds / work;
        // Little work takes as long as it takes to ask for it: that tells nothing of the device, unless it is a better bound.
        if seconds > SUBMIT_SECONDS || measured < self.seconds_per_flop {
            self.seconds_per_flop += Self::WEIGHT * (measured - self.seconds_per_flop);
        }
    }
}

impl Gpu {
    /// Seconds of each op of a pass: on the device's own clock where it has one.
    pub async fn replay_timed(&self, pass: Pass, step: &Step) -> Result<Vec<f64>> {
        self.flush();
        let uniform = StepUniform::from(step);
        let inner = &*self.device.0;
        inner.queue.write_buffer(&self.steps, 0, bytemuck::bytes_of(&uniform));
        let ops = &self.passes[pass as usize];
        if ops.is_empty() {
            return Ok(vec![]);
        }
        if self.device.capabilities().timestamps && 2 * ops.len() <= wgpu::QUERY_SET_MAX_QUERIES as usize {
            self.timed_by_device(ops).await
        } else {
            self.timed_by_host(ops).await
        }
    }

    async fn timed_by_device(&self, ops: &[LoadedOp]) -> Result<Vec<f64>> {
        let inner = &*self.device.0;
        let count = 2 * ops.len() as u32;
        let queries = inner.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("op times"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let bytes = 8 * u64::from(count);
        let resolved = inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("op times"),
            size: bytes,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        for (i, op) in ops.iter().enumerate() {
            let mut compute = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * i as u32),
                    end_of_pass_write_index: Some(2 * i as u32 + 1),
                }),
            });
            op.encode(&mut compute, 0);
        }
        encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        let to = staging_buffer(&inner.device, &self.staging, bytes);
        encoder.copy_buffer_to_buffer(&resolved, 0, &to, 0, bytes);
        self.submit(encoder, 0.0);
        let pending = Pending(Kind::Gpu {
            device: self.device.clone(),
            staging: self.staging.clone(),
            buffer: to,
            len: 2 * count as usize,
            dtype: DType::F32,
            read: inner.pace().asked(),
        });
        // The ticks are u64: their halves came through as the bits of floats.
        let words: Vec<u64> = pending.wait().await?.iter().map(|x| u64::from(x.to_bits())).collect();
        let period = f64::from(inner.queue.get_timestamp_period()) * 1e-9;
        let tick = |i: usize| words[2 * i] | words[2 * i + 1] << 32;
        Ok((0..ops.len()).map(|i| tick(2 * i + 1).saturating_sub(tick(2 * i)) as f64 * period).collect())
    }

    /// Without timestamps: a submit per op, and the time until the device is idle again.
    async fn timed_by_host(&self, ops: &[LoadedOp]) -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        for op in ops {
            let mut encoder = self.encoder();
            op.encode(&mut encoder.begin_compute_pass(&Default::default()), 0);
            let started = Instant::now();
            self.submit(encoder, 0.0);
            let (sender, done) = futures_channel::oneshot::channel();
            self.device.0.queue.on_submitted_work_done(move || {
                // Nobody listens any more when the measurement was given up.
                let _ = sender.send(());
            });
            self.device.0.poll(wgpu::PollType::wait_indefinitely())?;
            done.await.map_err(|_| GpuError::Lost("it stopped answering".into()))?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        self.device.check()?;
        Ok(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_read_says_that_all_work_is_done() {
        let mut pace = Pace::new(AdapterKind::Discrete);
        let guess = pace.seconds_per_flop();
        let reads = [pace.asked(), pace.asked()];
        // So much that a measurement can only be faster.
        pace.submitted(1e30);
        pace.finished(reads[0]);
        assert_eq!(pace.seconds_per_flop(), guess);
        pace.finished(reads[1]);
        let measured = pace.seconds_per_flop();
        assert!(measured < guess);
        pace.finished(reads[1]);
        assert_eq!(pace.seconds_per_flop(), measured, "nothing was under way");
    }

    #[test]
    fn overhead_is_not_taken_for_a_slow_device() {
        let mut pace = Pace::new(AdapterKind::Discrete);
        let guess = pace.seconds_per_flop();
        pace.learn(0.01, 1e3);
        assert_eq!(pace.seconds_per_flop(), guess);
        pace.learn(2.0, 1e9);
        let slow = pace.seconds_per_flop();
        assert!(slow > 100.0 * guess);
        pace.learn(0.001, 1e9);
        assert!(pace.seconds_per_flop() < slow);
    }
}
