//! Loading a program: what its ops ask for becomes buffers, pipelines and bind groups.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::device::{AdapterReport, GpuDevice, Inner, classify};
use super::dispatch::{Dispatch, Kernels, Param, Source};
use super::engine::{Gpu, LoadedOp, Ready, STEP_STRIDE, STEPS, padded};
use super::product::Product;
use super::readback::Staging;
use super::shader::{Access, Interface, ParamType, Shader};
use crate::error::{GpuError, Result};
use crate::order;
use crate::program::{DType, Pass, Program};
use crate::step::StepUniform;

/// A byte moved counts as much work as this many floating-point operations: GPUs have 10 to 20 of them per byte of bandwidth.
const FLOPS_PER_BYTE: u64 = 16;

impl Gpu {
    /// Loads a program.
    pub async fn load(program: Program, device: &GpuDevice) -> Result<Self> {
        device.check()?;
        let tensors = tensor_sizes(&program);
        // First of all: what fits, fits kernels' counters of 32 bits too.
        tensors.iter().try_for_each(|(what, size)| check_size(device.report(), what, *size))?;
        #[cfg_attr(target_family = "wasm", expect(unused_mut, reason = "nothing is measured there"))]
        let mut lowered = Lowered::new(&program, device);
        // Before anything is allocated: measuring needs memory of its own for a while. Browsers round a GPU's clock to a tenth of a millisecond,
        // which is longer than most products of a small model take: there the defaults remain.
        #[cfg(not(target_family = "wasm"))]
        if device.report().kind.is_hardware()
            && device.capabilities().timestamps
            && device.measure(&lowered.unmeasured).await? > 0
        {
            lowered = Lowered::new(&program, device);
        }
        let inner = &*device.0;
        let mut allocator = Allocator { inner, scopes: Vec::new() };
        let mut buffers = Vec::new();
        for (what, size) in tensors {
            buffers.push(allocator.buffer("tensor", size, what)?);
        }
        let mut scratch = Vec::new();
        for len in lowered.scratch {
            let what = "scratch memory of a kernel".into();
            scratch.push(allocator.buffer("scratch", padded(4 * len as u64), what)?);
        }
        // A dispatch may not read and write the same buffer, not even in different places: one for each.
        let mut nothing = Vec::new();
        for _ in [Access::Read, Access::ReadWrite] {
            // One place per binding number, so that no two writable bindings overlap.
            nothing.push(allocator.buffer("nothing", 16 * 256, "an absent tensor".into())?);
        }
        allocator.finish().await?;
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
                // What a lost device has made is refused everywhere.
                device.check()?;
                let problem = match classify(&error) {
                    GpuError::Validation(problem) => problem,
                    other => return Err(other.into()),
                };
                return Err(GpuError::Shader { kernel, problem }.into());
            }
        }
        device.check()?;
        let loaded = Self {
            device: device.clone(),
            buffers,
            passes,
            steps,
            queue: RefCell::default(),
            staging: Staging::default(),
            exchange: RefCell::default(),
            submits: Cell::new(0),
            program,
        };
        for constant in &loaded.program.constants {
            loaded.write(constant.tensor, bytemuck::cast_slice(&(constant.values)()));
        }
        Ok(loaded)
    }
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

/// What each buffer of a program is, and its size in bytes.
fn tensor_sizes(program: &Program) -> Vec<(String, u64)> {
    let mut names = vec!["a tensor".to_owned(); program.buffers.len()];
    // The first tensor of a buffer is the whole of it.
    for tensor in program.tensors.iter().rev() {
        names[tensor.buffer] = format!("the tensor {}", tensor.name);
    }
    let sizes = program.buffers.iter().map(|&(len, ty)| padded((len * ty.bytes()) as u64));
    names.into_iter().zip(sizes).collect()
}

/// Fails when an adapter has no buffers of that size.
fn check_size(adapter: &AdapterReport, what: &str, need: u64) -> Result<()> {
    let AdapterReport { name, capabilities, .. } = adapter;
    for (limit, have) in [
        ("maxBufferSize", capabilities.max_buffer_size),
        ("maxStorageBufferBindingSize", capabilities.max_binding_size),
    ] {
        if need > have {
            return Err(GpuError::Limit { adapter: name.as_str().into(), limit, what: what.into(), need, have }.into());
        }
    }
    Ok(())
}

/// Makes buffers. Whether there was memory for them is asked once for all: in a browser every answer is a round trip.
struct Allocator<'a> {
    inner: &'a Inner,
    /// What each buffer is, and the error scope around its making.
    scopes: Vec<(String, ScopeFuture)>,
}

impl Allocator<'_> {
    /// A zeroed buffer.
    fn buffer(&mut self, label: &str, size: u64, what: String) -> Result<wgpu::Buffer> {
        check_size(&self.inner.report, &what, size)?;
        let scope = self.inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.scopes.push((format!("{what} takes {size} bytes"), Box::pin(scope.pop())));
        Ok(buffer)
    }

    /// Waits for the answers.
    async fn finish(self) -> Result<()> {
        for (what, scope) in self.scopes {
            if scope.await.is_some() {
                return Err(GpuError::OutOfMemory(what).into());
            }
        }
        Ok(())
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
        let reads = !dispatch.assigned.contains(name);
        bytes as u64 * (u64::from(reads) + u64::from(writes))
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
                // What is absent is of whatever type.
                Some(_) if source == Source::Nothing => {}
                Some(alias) => types.push((alias.clone(), dtype)),
                None => assert_eq!(dtype, DType::F32, "{kernel}: {name} takes no {dtype:?}"),
            }
            bindings.push((declared.binding, declared.access, source));
        }
        order::sort(&mut types);
        types.dedup();
        // Of one name there is one type: another tensor would be read as what it is not.
        let clash = types.windows(2).find(|pair| pair[0].0 == pair[1].0);
        assert!(clash.is_none(), "{kernel}: tensors of two types as {clash:?}");
        types.retain(|(_, dtype)| *dtype != DType::F32);
        order::sort_by(&mut bindings, |a, b| a.0.cmp(&b.0));
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
        // The second is for what passes validation and fails in the driver's compiler.
        let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal].map(|f| device.push_error_scope(f));
        let (shader, types) = &key.0;
        // With wgpu's checks of indices and loops. Without them (`create_shader_module_trusted`, which is unsafe) `micro` trained 2 to 5 % faster on
        // lavapipe: not worth a promise that no kernel, whatever ids it is given, leaves its tensors.
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
        for scope in scopes.into_iter().rev() {
            self.scopes.push((kernel.to_owned(), Box::pin(scope.pop())));
        }
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
