//! A program on a device. Everything is made when the program is loaded; a replay only encodes dispatches.
//!
//! Replays queue up here until somebody writes or reads, and then go to the device in one submit: `queue.write_buffer` lands before the
//! *whole* next submit, so what was queued must be on its way before a tensor is written. The work of a long queue is
//! estimated and split, so that no submit takes longer than a desktop's watchdog or a browser's patience allows.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use web_time::Instant;

use super::device::{GpuDevice, Inner, classify};
use super::dispatch::{Dispatch, Kernels, Param, Source};
use super::product::Product;
use super::readback::{Kind, Pending, Staging, staging_buffer};
use super::shader::{Access, Interface, ParamType, Shader};
use crate::error::{GpuError, Result};
use crate::program::{DType, Pass, Program, Tensor};
use crate::step::{Step, StepUniform};

/// Steps that a submit can hold: each replay in it sees its own.
const STEPS: usize = 256;
/// Distance of two steps in their buffer: WebGPU's largest alignment of a dynamic offset.
const STEP_STRIDE: u64 = 256;
/// Estimated seconds after which a submit is split.
const SUBMIT_SECONDS: f64 = 0.1;
/// A byte moved counts as much work as this many floating-point operations: GPUs have 10 to 20 of them per byte of bandwidth.
const FLOPS_PER_BYTE: u64 = 16;

/// The GPU engine.
pub(crate) struct Gpu {
    pub program: Program,
    pub device: GpuDevice,
    buffers: Vec<wgpu::Buffer>,
    passes: Vec<Vec<LoadedOp>>,
    steps: wgpu::Buffer,
    queue: RefCell<Vec<Item>>,
    queued_steps: Cell<usize>,
    staging: Staging,
    /// What [`Self::swap`] goes through, made when it is first needed.
    exchange: RefCell<Option<wgpu::Buffer>>,
    submits: Cell<u64>,
}

/// An op's dispatches, ready to encode.
struct LoadedOp {
    dispatches: Vec<Ready>,
    /// Estimated work, in floating-point operations.
    work: f64,
    bytes: u64,
}

struct Ready {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// Something to encode.
enum Item {
    Replay { pass: Pass, step: usize },
    Copy { from: wgpu::Buffer, at: u64, to: wgpu::Buffer, to_at: u64, bytes: u64 },
}

/// What makes two modules the same: file and element types.
type ModuleKey = (Shader, Vec<(String, DType)>);
/// What makes two pipelines the same: module, entry point, constants (as bits) and bindings.
type PipelineKey = (ModuleKey, &'static str, Vec<(&'static str, u64)>, Vec<(u32, Access)>);

/// What the ops of a program ask for.
#[derive(Default)]
struct Lowered {
    /// Floating-point operations and dispatches of each op.
    passes: Vec<Vec<(u64, Vec<Dispatch>)>>,
    /// Lengths of the scratch memories.
    scratch: Vec<usize>,
    /// Products whose fastest way is not known.
    unmeasured: Vec<Product>,
}

impl Lowered {
    fn new(program: &Program, device: &GpuDevice) -> Self {
        let tuning = device.tuning();
        let mut lowered = Self::default();
        for pass in Pass::ALL {
            let mut ops = Vec::new();
            for op in program.ops(pass) {
                let mut kernels = Kernels::new(program, device.capabilities()).tuned(&tuning);
                op.gpu(&mut kernels);
                for (_, source) in kernels.dispatches.iter().flat_map(|d| &d.bindings) {
                    if let &Source::Scratch { slot, len } = source {
                        lowered.scratch.resize(lowered.scratch.len().max(slot + 1), 0);
                        lowered.scratch[slot] = lowered.scratch[slot].max(len);
                    }
                }
                for product in kernels.unmeasured {
                    if !lowered.unmeasured.contains(&product) {
                        lowered.unmeasured.push(product);
                    }
                }
                ops.push((op.flops(), kernels.dispatches));
            }
            lowered.passes.push(ops);
        }
        lowered
    }
}

/// Makes pipelines, each once.
struct Loader<'a> {
    inner: &'a Inner,
    interfaces: HashMap<Shader, Rc<Interface>>,
    modules: HashMap<ModuleKey, wgpu::ShaderModule>,
    pipelines: HashMap<PipelineKey, (wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
    /// Kernel and the error scopes around its making.
    scopes: Vec<(String, ScopeFuture)>,
}

type ScopeFuture = std::pin::Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

impl Gpu {
    pub async fn load(program: Program, device: &GpuDevice) -> Result<Self> {
        device.check()?;
        let mut lowered = Lowered::new(&program, device);
        // Before anything is allocated: measuring needs memory of its own for a while.
        let measures = device.report().kind.is_hardware() && device.capabilities().timestamps;
        if measures && device.measure(&lowered.unmeasured).await? > 0 {
            lowered = Lowered::new(&program, device);
        }
        let inner = &*device.0;
        let buffers = allocate(inner, &program).await?;
        let mut scratch = Vec::new();
        for len in lowered.scratch {
            let what = || "scratch memory of a kernel".to_owned();
            scratch.push(buffer(inner, "scratch", padded(4 * len as u64), what).await?);
        }
        // A dispatch may not read and write the same buffer, not even in different places: one for each.
        let mut nothing = Vec::new();
        for _ in [Access::Read, Access::ReadWrite] {
            // One place per binding number, so that no two writable bindings overlap.
            nothing.push(buffer(inner, "nothing", 16 * 256, || "an absent tensor".into()).await?);
        }
        let steps = inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("steps"),
            size: STEPS as u64 * STEP_STRIDE,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let memory =
            BoundMemory { program: &program, buffers: &buffers, scratch: &scratch, nothing: &nothing, steps: &steps };
        let mut loader = Loader {
            inner,
            interfaces: HashMap::new(),
            modules: HashMap::new(),
            pipelines: HashMap::new(),
            scopes: Vec::new(),
        };
        let mut passes = Vec::new();
        for ops in lowered.passes {
            let mut loaded = Vec::new();
            for (flops, dispatches) in ops {
                let bytes = dispatches.iter().map(|d| traffic(&memory, d)).sum();
                let dispatches = dispatches.iter().map(|d| loader.ready(&memory, d)).collect();
                loaded.push(LoadedOp { dispatches, work: flops.max(bytes * FLOPS_PER_BYTE) as f64, bytes });
            }
            passes.push(loaded);
        }
        for (kernel, scope) in loader.scopes {
            if let Some(error) = scope.await {
                let problem = match classify(&error) {
                    GpuError::Validation(problem) => problem,
                    other => return Err(other.into()),
                };
                return Err(GpuError::Shader { kernel, problem }.into());
            }
        }
        device.check()?;
        Ok(Self {
            device: device.clone(),
            buffers,
            passes,
            steps,
            queue: RefCell::default(),
            queued_steps: Cell::new(0),
            staging: Staging::default(),
            exchange: RefCell::default(),
            submits: Cell::new(0),
            program,
        })
    }

    /// Queues a pass.
    pub fn replay(&self, pass: Pass, step: &Step) {
        if self.passes[pass as usize].is_empty() {
            return;
        }
        if self.queued_steps.get() == STEPS {
            self.flush();
        }
        let index = self.queued_steps.get();
        self.queued_steps.set(index + 1);
        let uniform = StepUniform::from(step);
        self.device.0.queue.write_buffer(&self.steps, index as u64 * STEP_STRIDE, bytemuck::bytes_of(&uniform));
        self.queue.borrow_mut().push(Item::Replay { pass, step: index });
    }

    /// Sends what is queued to the device.
    pub fn flush(&self) {
        self.queued_steps.set(0);
        let items = std::mem::take(&mut *self.queue.borrow_mut());
        if items.is_empty() {
            return;
        }
        let pace = *self.device.0.pace.lock().expect("nobody panics while holding this");
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

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.0.device.create_command_encoder(&Default::default())
    }

    fn submit(&self, encoder: wgpu::CommandEncoder, work: f64) {
        let Inner { queue, pace, .. } = &*self.device.0;
        queue.submit([encoder.finish()]);
        self.submits.set(self.submits.get() + 1);
        if work > 0.0 {
            let (pace, started) = (pace.clone(), Instant::now());
            queue.on_submitted_work_done(move || {
                // Too slow an estimate while others are ahead in the queue, never too fast: it only makes submits shorter.
                let measured = started.elapsed().as_secs_f64() / work;
                let mut pace = pace.lock().expect("nobody panics while holding this");
                *pace += 0.2 * (measured - *pace);
            });
        }
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
        self.queue.borrow_mut().push(copy);
        Pending(Kind::Gpu {
            device: self.device.clone(),
            staging: self.staging.clone(),
            buffer: to,
            len: self.program.shape(tensor).iter().product(),
            dtype: self.program.dtype(tensor),
        })
    }

    /// Copies a tensor over another of the same size, on the device.
    pub fn copy(&self, from: Tensor, to: Tensor) {
        let ((from, at, bytes), (to, to_at, _)) = (self.place(from), self.place(to));
        self.queue_copy((from, at), (to, to_at), bytes);
    }

    fn queue_copy(&self, (from, at): (&wgpu::Buffer, u64), (to, to_at): (&wgpu::Buffer, u64), bytes: u64) {
        let (from, to, bytes) = (from.clone(), to.clone(), bytes.next_multiple_of(4));
        self.queue.borrow_mut().push(Item::Copy { from, at, to, to_at, bytes });
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

    /// Seconds of each op of a pass, bytes that it moves, and its dispatches: on the device's own clock where it has one.
    pub async fn replay_timed(&self, pass: Pass, step: &Step) -> Result<Vec<f64>> {
        self.flush();
        let uniform = StepUniform::from(step);
        let inner = &*self.device.0;
        inner.queue.write_buffer(&self.steps, 0, bytemuck::bytes_of(&uniform));
        let ops = &self.passes[pass as usize];
        if ops.is_empty() {
            return Ok(vec![]);
        }
        if self.device.capabilities().timestamps {
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
            let polled = self.device.0.device.poll(wgpu::PollType::wait_indefinitely());
            polled.map_err(|error| GpuError::Lost(error.to_string()))?;
            done.await.map_err(|_| GpuError::Lost("it stopped answering".into()))?;
            seconds.push(started.elapsed().as_secs_f64());
        }
        self.device.check()?;
        Ok(seconds)
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
    fn encode(&self, compute: &mut wgpu::ComputePass<'_>, step: usize) {
        for Ready { pipeline, bind_group, workgroups: [x, y, z] } in &self.dispatches {
            compute.set_pipeline(pipeline);
            compute.set_bind_group(0, bind_group, &[(step as u64 * STEP_STRIDE) as u32]);
            compute.dispatch_workgroups(*x, *y, *z);
        }
    }
}

/// Sizes are whole vec4s, so that a shader may see any tensor as such.
fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(16).max(16)
}

/// The buffers of a program.
async fn allocate(inner: &Inner, program: &Program) -> Result<Vec<wgpu::Buffer>> {
    let mut buffers = Vec::new();
    for (i, &(len, dtype)) in program.buffers.iter().enumerate() {
        let size = padded((len * dtype.bytes()) as u64);
        let name = || {
            let tensor = program.tensors.iter().find(|t| t.buffer == i);
            tensor.map_or_else(|| "a tensor".into(), |t| format!("the tensor {}", t.name))
        };
        buffers.push(buffer(inner, "tensor", size, name).await?);
    }
    Ok(buffers)
}

/// A zeroed buffer.
async fn buffer(inner: &Inner, label: &str, size: u64, what: impl Fn() -> String) -> Result<wgpu::Buffer> {
    let capabilities = &inner.report.capabilities;
    for (limit, have) in [
        ("maxBufferSize", capabilities.max_buffer_size),
        ("maxStorageBufferBindingSize", capabilities.max_binding_size),
    ] {
        if size > have {
            let adapter = inner.report.name.clone();
            return Err(
                GpuError::Limit { adapter: adapter.into(), limit, what: what().into(), need: size, have }.into()
            );
        }
    }
    let scope = inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let buffer = inner.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    match scope.pop().await {
        Some(_) => Err(GpuError::OutOfMemory(format!("{} takes {size} bytes", what())).into()),
        None => Ok(buffer),
    }
}

/// What dispatches bind.
struct BoundMemory<'a> {
    program: &'a Program,
    buffers: &'a [wgpu::Buffer],
    scratch: &'a [wgpu::Buffer],
    /// By access.
    nothing: &'a [wgpu::Buffer],
    steps: &'a wgpu::Buffer,
}

impl BoundMemory<'_> {
    fn dtype(&self, source: Source) -> DType {
        if let Source::Tensor(tensor) = source { self.program.dtype(tensor) } else { DType::F32 }
    }

    fn binding(&self, source: Source, number: u32, access: Access) -> wgpu::BufferBinding<'_> {
        let (buffer, offset, size) = match source {
            Source::Tensor(tensor) => {
                let info = &self.program.tensors[tensor.0 as usize];
                let bytes = self.program.dtype(tensor).bytes() as u64;
                (&self.buffers[info.buffer], info.offset as u64 * bytes, padded(info.numel() as u64 * bytes))
            }
            Source::Scratch { slot, len } => (&self.scratch[slot], 0, padded(4 * len as u64)),
            Source::Nothing => (&self.nothing[access as usize], 256 * u64::from(number), 16),
        };
        wgpu::BufferBinding { buffer, offset, size: std::num::NonZeroU64::new(size) }
    }
}

/// Bytes that a dispatch moves at least.
fn traffic(memory: &BoundMemory<'_>, dispatch: &Dispatch) -> u64 {
    let interface = dispatch.shader.interface();
    let of = |(name, source): &(&str, Source)| {
        let bytes = match *source {
            Source::Tensor(tensor) => {
                memory.program.dtype(tensor).bytes() * memory.program.shape(tensor).iter().product::<usize>()
            }
            Source::Scratch { len, .. } => 4 * len,
            Source::Nothing => 0,
        };
        let writes = interface.bindings.iter().any(|b| b.name == *name && b.access == Access::ReadWrite);
        // A tensor that is only assigned counts twice too: the source does not tell, and this is an estimate.
        bytes as u64 * (1 + u64::from(writes))
    };
    dispatch.bindings.iter().map(of).sum()
}

impl Loader<'_> {
    fn interface(&mut self, shader: Shader) -> Rc<Interface> {
        self.interfaces.entry(shader).or_insert_with(|| Rc::new(shader.interface())).clone()
    }

    /// The pipeline and bind group of a dispatch.
    fn ready(&mut self, memory: &BoundMemory<'_>, dispatch: &Dispatch) -> Ready {
        let interface = self.interface(dispatch.shader);
        let kernel = format!("{}.wgsl, {}", dispatch.shader.name, dispatch.entry);
        let mut bindings = Vec::new();
        let mut types = Vec::new();
        for &(name, source) in &dispatch.bindings {
            let declared = interface.bindings.iter().find(|b| b.name == name);
            let declared = declared.unwrap_or_else(|| panic!("{kernel}: no binding is named {name}"));
            let dtype = memory.dtype(source);
            match &declared.alias {
                Some(alias) => types.push((alias.clone(), dtype)),
                None => assert_eq!(dtype, DType::F32, "{kernel}: {name} takes no {dtype:?}"),
            }
            bindings.push((declared.binding, declared.access, source));
        }
        types.retain(|(_, dtype)| *dtype != DType::F32);
        types.sort_unstable();
        types.dedup();
        bindings.sort_by_key(|b| b.0);
        let key = (
            (dispatch.shader, types),
            dispatch.entry,
            dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect(),
            bindings.iter().map(|&(number, access, _)| (number, access)).collect(),
        );
        let (pipeline, layout) = self.pipeline(&kernel, key, dispatch);
        let device = &self.inner.device;
        let params = params(&kernel, &interface, dispatch);
        let params_buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(&kernel),
            size: params.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.inner.queue.write_buffer(&params_buffer, 0, &params);
        let step = wgpu::BufferBinding {
            buffer: memory.steps,
            offset: 0,
            size: std::num::NonZeroU64::new(size_of::<StepUniform>() as u64),
        };
        let mut entries = vec![
            wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(step) },
            wgpu::BindGroupEntry { binding: 1, resource: params_buffer.as_entire_binding() },
        ];
        entries.extend(bindings.iter().map(|&(number, access, source)| wgpu::BindGroupEntry {
            binding: number,
            resource: wgpu::BindingResource::Buffer(memory.binding(source, number, access)),
        }));
        let descriptor = wgpu::BindGroupDescriptor { label: Some(&kernel), layout: &layout, entries: &entries };
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let bind_group = device.create_bind_group(&descriptor);
        self.scopes.push((kernel, Box::pin(scope.pop())));
        Ready { pipeline, bind_group, workgroups: dispatch.workgroups }
    }

    fn pipeline(
        &mut self,
        kernel: &str,
        key: PipelineKey,
        dispatch: &Dispatch,
    ) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
        if let Some(made) = self.pipelines.get(&key) {
            return made.clone();
        }
        let device = &self.inner.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let (shader, types) = &key.0;
        let module = self.modules.entry(key.0.clone()).or_insert_with(|| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(shader.name),
                source: wgpu::ShaderSource::Wgsl(shader.module(types).into()),
            })
        });
        let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let mut entries =
            vec![entry(0, wgpu::BufferBindingType::Uniform, true), entry(1, wgpu::BufferBindingType::Uniform, false)];
        entries.extend(key.3.iter().map(|&(number, access)| {
            entry(number, wgpu::BufferBindingType::Storage { read_only: access == Access::Read }, false)
        }));
        let layout = device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel), entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel),
            layout: Some(&pipeline_layout),
            module,
            entry_point: Some(dispatch.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &dispatch.constants,
                // Every kernel writes its workgroup memory before it reads it (the tests poison what could be left unwritten).
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        self.scopes.push((kernel.to_owned(), Box::pin(scope.pop())));
        self.pipelines.insert(key, (pipeline.clone(), layout.clone()));
        (pipeline, layout)
    }
}

/// The bytes of `Params`, in the shader's order.
fn params(kernel: &str, interface: &Interface, dispatch: &Dispatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, ty) in &interface.params {
        let value = dispatch.params.iter().find(|(n, _)| n == name).map(|&(_, value)| value);
        let bits = match (ty, value) {
            (ParamType::U32, Some(Param::U32(value))) => value.to_le_bytes(),
            (ParamType::F32, Some(Param::F32(value))) => value.to_le_bytes(),
            // Entry points of one file share Params; what an entry point does not use is not given.
            (_, None) => [0; 4],
            (_, Some(value)) => panic!("{kernel}: the parameter {name} is {ty:?}, not {value:?}"),
        };
        bytes.extend_from_slice(&bits);
    }
    for (name, _) in &dispatch.params {
        assert!(interface.params.iter().any(|(n, _)| n == name), "{kernel}: no parameter is named {name}");
    }
    bytes.resize(bytes.len().next_multiple_of(16).max(16), 0);
    bytes
}
