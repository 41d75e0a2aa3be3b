//! A program on a device. Everything is made when the program is loaded; a replay only encodes dispatches.
//!
//! Replays queue up here until somebody writes or reads, and then go to the device in one submit: `queue.write_buffer` lands before the
//! *whole* next submit, so what was queued must be on its way before a tensor is written. The work of a long queue is
//! estimated and split, so that no submit takes longer than a desktop's watchdog or a browser's patience allows.

use std::cell::{Cell, RefCell};

use super::device::{GpuDevice, Inner};
use super::readback::{Kind, Pending, Staging, staging_buffer};
use crate::error::Result;
use crate::program::{DType, Pass, Program, Tensor};
use crate::step::{Step, StepUniform};

/// Steps that a submit can hold: each replay in it sees its own.
pub(super) const STEPS: usize = 256;
/// Distance of two steps in their buffer: WebGPU's largest alignment of a dynamic offset.
pub(super) const STEP_STRIDE: u64 = 256;
/// Estimated seconds after which a submit is split.
pub(super) const SUBMIT_SECONDS: f64 = 0.1;

/// The GPU engine.
pub(crate) struct Gpu {
    pub program: Program,
    pub device: GpuDevice,
    pub(super) buffers: Vec<wgpu::Buffer>,
    pub(super) passes: Vec<Vec<LoadedOp>>,
    pub(super) steps: wgpu::Buffer,
    pub(super) queue: RefCell<Queue>,
    pub(super) staging: Staging,
    /// What [`Self::swap`] goes through, made when it is first needed.
    pub(super) exchange: RefCell<Option<wgpu::Buffer>>,
    pub(super) submits: Cell<u64>,
}

/// An op's dispatches, ready to encode.
pub(super) struct LoadedOp {
    pub dispatches: Vec<Ready>,
    /// Estimated work, in floating-point operations.
    pub work: f64,
    pub bytes: u64,
}

/// A dispatch, ready to encode.
pub(super) struct Ready {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group: wgpu::BindGroup,
    pub workgroups: [u32; 3],
}

/// What was asked for and not yet submitted.
#[derive(Default)]
pub(super) struct Queue {
    items: Vec<Item>,
    /// The uniforms of the replays, [`STEP_STRIDE`] bytes each.
    steps: Vec<u8>,
}

/// Something to encode.
enum Item {
    /// `step` is the first byte of its uniform.
    Replay {
        pass: Pass,
        step: u32,
    },
    Copy {
        from: wgpu::Buffer,
        at: u64,
        to: wgpu::Buffer,
        to_at: u64,
        bytes: u64,
    },
}

impl Gpu {
    /// Queues a pass.
    pub fn replay(&self, pass: Pass, step: &Step) {
        if self.passes[pass as usize].is_empty() {
            return;
        }
        if self.queue.borrow().steps.len() as u64 == STEPS as u64 * STEP_STRIDE {
            self.flush();
        }
        let Queue { items, steps } = &mut *self.queue.borrow_mut();
        items.push(Item::Replay { pass, step: steps.len() as u32 });
        steps.extend_from_slice(bytemuck::bytes_of(&StepUniform::from(step)));
        steps.resize(steps.len().next_multiple_of(STEP_STRIDE as usize), 0);
    }

    /// Sends what is queued to the device.
    pub fn flush(&self) {
        let Queue { items, steps } = std::mem::take(&mut *self.queue.borrow_mut());
        if items.is_empty() {
            return;
        }
        if !steps.is_empty() {
            self.device.0.queue.write_buffer(&self.steps, 0, &steps);
        }
        let pace = self.device.0.pace().seconds_per_flop();
        let mut encoder = self.encoder();
        let mut work = 0.0;
        let mut items = items.into_iter().peekable();
        while let Some(item) = items.next() {
            let (mut pass, mut step) = match item {
                Item::Replay { pass, step } => (pass, step),
                Item::Copy { from, at, to, to_at, bytes } => {
                    encoder.copy_buffer_to_buffer(&from, at, &to, to_at, bytes);
                    continue;
                }
            };
            // Replays in a row share a compute pass.
            let mut compute = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
            loop {
                for op in &self.passes[pass as usize] {
                    if work > 0.0 && (work + op.work) * pace > SUBMIT_SECONDS {
                        drop(compute);
                        self.submit(std::mem::replace(&mut encoder, self.encoder()), work);
                        work = 0.0;
                        compute = encoder.begin_compute_pass(&Default::default()).forget_lifetime();
                    }
                    work += op.work;
                    op.encode(&mut compute, step);
                }
                match items.next_if(|item| matches!(item, Item::Replay { .. })) {
                    Some(Item::Replay { pass: p, step: s }) => (pass, step) = (p, s),
                    _ => break,
                }
            }
        }
        self.submit(encoder, work);
    }

    pub(super) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.0.device.create_command_encoder(&Default::default())
    }

    /// Submits commands that are estimated to be so much work.
    pub(super) fn submit(&self, encoder: wgpu::CommandEncoder, work: f64) {
        let Inner { queue, .. } = &*self.device.0;
        queue.submit([encoder.finish()]);
        self.submits.set(self.submits.get() + 1);
        self.device.0.pace().submitted(work);
    }

    /// Submits so far.
    pub fn submits(&self) -> u64 {
        self.submits.get()
    }

    /// Writes raw values: float32 or ids, as the tensor is stored.
    pub fn write(&self, tensor: Tensor, bytes: &[u8]) {
        self.flush();
        let info = &self.program.tensors[tensor.0 as usize];
        assert_eq!(bytes.len(), 4 * info.numel(), "length of {}", info.name);
        let (buffer, at, _) = self.place(tensor);
        let queue = &self.device.0.queue;
        match self.program.dtype(tensor) {
            DType::F32 => queue.write_buffer(buffer, at, bytes),
            DType::F16 => {
                let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                let mut halves: Vec<u8> = values.flat_map(|x| half::f16::from_f32(x).to_le_bytes()).collect();
                // Copies are of whole words; the rest of the last one is padding.
                halves.resize(halves.len().next_multiple_of(4), 0);
                queue.write_buffer(buffer, at, &halves);
            }
        }
    }

    /// Buffer, first byte and length in bytes of a tensor.
    fn place(&self, tensor: Tensor) -> (&wgpu::Buffer, u64, u64) {
        let info = &self.program.tensors[tensor.0 as usize];
        let size = self.program.dtype(tensor).bytes() as u64;
        (&self.buffers[info.buffer], info.offset as u64 * size, info.numel() as u64 * size)
    }

    /// Queues a read of a tensor as it is at this place in the queue.
    pub fn start_read(&self, tensor: Tensor) -> Pending {
        let (from, at, bytes) = self.place(tensor);
        let inner = &*self.device.0;
        let to = staging_buffer(&inner.device, &self.staging, padded(bytes));
        let copy = Item::Copy { from: from.clone(), at, to: to.clone(), to_at: 0, bytes: bytes.next_multiple_of(4) };
        self.queue.borrow_mut().items.push(copy);
        Pending(Kind::Gpu {
            device: self.device.clone(),
            staging: self.staging.clone(),
            buffer: to,
            len: self.program.shape(tensor).iter().product(),
            dtype: self.program.dtype(tensor),
            read: inner.pace().asked(),
        })
    }

    /// A read of nothing yet, with room for so many float32.
    pub fn start_reads(&self, room: usize) -> Pending {
        let inner = &*self.device.0;
        Pending(Kind::Gpu {
            device: self.device.clone(),
            staging: self.staging.clone(),
            buffer: staging_buffer(&inner.device, &self.staging, padded(room as u64 * 4)),
            len: 0,
            dtype: DType::F32,
            read: inner.pace().asked(),
        })
    }

    /// Queues a read of a tensor as it is at this place in the queue, behind what the read has already.
    ///
    /// # Panics
    /// When there is no room for it, it is not float32, or the read is another engine's.
    pub fn also_read(&self, pending: &mut Pending, tensor: Tensor) {
        assert!(pending.is_of(&self.staging), "a read of another engine");
        let Kind::Gpu { buffer, len, dtype, .. } = &mut pending.0 else { panic!("a read of another engine") };
        let (from, at, bytes) = self.place(tensor);
        let to_at = *len as u64 * 4;
        let room = *dtype == self.program.dtype(tensor) && to_at + bytes <= buffer.size();
        assert!(room, "{} does not fit into the read", self.program.tensors[tensor.0 as usize].name);
        self.queue_copy((from, at), (buffer, to_at), bytes);
        *len += self.program.shape(tensor).iter().product::<usize>();
    }

    /// Waits for a read.
    ///
    /// # Panics
    /// When it was asked of another engine: its copy may not be on its way.
    pub async fn finish_read(&self, pending: Pending) -> Result<Vec<f32>> {
        assert!(pending.is_of(&self.staging), "a read of another engine");
        self.flush();
        pending.wait().await
    }

    /// Copies a tensor over another of the same size, on the device.
    pub fn copy(&self, from: Tensor, to: Tensor) {
        let ((from, at, bytes), (to, to_at, _)) = (self.place(from), self.place(to));
        self.queue_copy((from, at), (to, to_at), bytes);
    }

    fn queue_copy(&self, (from, at): (&wgpu::Buffer, u64), (to, to_at): (&wgpu::Buffer, u64), bytes: u64) {
        let (from, to, bytes) = (from.clone(), to.clone(), bytes.next_multiple_of(4));
        self.queue.borrow_mut().items.push(Item::Copy { from, at, to, to_at, bytes });
    }

    /// Exchanges two tensors of the same size, on the device.
    pub fn swap(&self, a: Tensor, b: Tensor) {
        let ((a, a_at, bytes), (b, b_at, _)) = (self.place(a), self.place(b));
        let mut exchange = self.exchange.borrow_mut();
        let between = match exchange.take() {
            Some(buffer) if buffer.size() >= padded(bytes) => buffer,
            _ => self.device.0.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("exchange"),
                size: padded(bytes),
                usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
        };
        self.queue_copy((a, a_at), (&between, 0), bytes);
        self.queue_copy((b, b_at), (a, a_at), bytes);
        self.queue_copy((&between, 0), (b, b_at), bytes);
        *exchange = Some(between);
    }

    /// Bytes that each op of a pass moves, at least: every tensor it is given, once (twice where it is read and written).
    pub fn traffic(&self, pass: Pass) -> Vec<u64> {
        self.passes[pass as usize].iter().map(|op| op.bytes).collect()
    }

    /// Dispatches of a replay of a pass.
    pub fn dispatches(&self, pass: Pass) -> usize {
        self.passes[pass as usize].iter().map(|op| op.dispatches.len()).sum()
    }
}

impl LoadedOp {
    /// `step` is the first byte of the step's uniform.
    pub(super) fn encode(&self, compute: &mut wgpu::ComputePass<'_>, step: u32) {
        for Ready { pipeline, bind_group, workgroups: [x, y, z] } in &self.dispatches {
            compute.set_pipeline(pipeline);
            compute.set_bind_group(0, bind_group, &[step]);
            compute.dispatch_workgroups(*x, *y, *z);
        }
    }
}

/// Sizes are whole vec4s, so that a shader may see any tensor as such.
pub(super) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(16).max(16)
}
