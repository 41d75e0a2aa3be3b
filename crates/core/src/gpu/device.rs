//! Adapters and devices: what there is, what it can do, and what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};

use super::dispatch::{MAX_WORKGROUPS, STORAGE_BUFFERS};
use super::timing::Pace;
use super::tuning::Tuning;
use crate::error::{GpuError, Result};
use crate::order;

/// An adapter as the user may want to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterReport {
    /// Its own name.
    pub name: String,
    /// Vulkan, Metal, DX12 or WebGPU.
    pub backend: String,
    /// Discrete, integrated, virtual or software.
    pub kind: AdapterKind,
    /// The driver and its version, where known.
    pub driver: String,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What kind of hardware an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A graphics card.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU that a hypervisor shares.
    Virtual,
    /// A program on the processor (lavapipe, SwiftShader, WARP): hundreds of times slower than the CPU engine.
    Software,
    /// The API does not say.
    Unknown,
}

impl AdapterKind {
    /// Whether the adapter is worth preferring to the CPU engine.
    pub fn is_hardware(self) -> bool {
        self != Self::Software
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Unknown => "unknown",
        }
    }
}

/// Limits and features that ops and the engine ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Largest buffer, bytes.
    pub max_buffer_size: u64,
    /// Largest part of a buffer that a shader sees, bytes.
    pub max_binding_size: u64,
    /// Memory that a workgroup shares, bytes.
    pub max_workgroup_memory: u32,
    /// Invocations of a workgroup.
    pub max_invocations: u32,
    /// Whether shaders know float16.
    pub shader_f16: bool,
    /// Whether passes can be timed on the device.
    pub timestamps: bool,
}

impl Capabilities {
    /// What every WebGPU adapter has: kernels that ask for no more run everywhere.
    pub fn least() -> Self {
        Self {
            max_buffer_size: 256 << 20,
            max_binding_size: 128 << 20,
            max_workgroup_memory: 16_384,
            max_invocations: 256,
            shader_f16: false,
            timestamps: false,
        }
    }

    fn new(limits: &wgpu::Limits, features: wgpu::Features) -> Self {
        Self {
            max_buffer_size: limits.max_buffer_size,
            max_binding_size: limits.max_storage_buffer_binding_size,
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        }
    }
}

fn report(adapter: &wgpu::Adapter) -> AdapterReport {
    let info = adapter.get_info();
    AdapterReport {
        name: if info.name.is_empty() { "unnamed adapter".into() } else { info.name },
        backend: match info.backend {
            wgpu::Backend::Vulkan => "Vulkan".into(),
            wgpu::Backend::Metal => "Metal".into(),
            wgpu::Backend::Dx12 => "DX12".into(),
            wgpu::Backend::BrowserWebGpu => "WebGPU".into(),
            other => other.to_string(),
        },
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Cpu => AdapterKind::Software,
            wgpu::DeviceType::Other => AdapterKind::Unknown,
        },
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        capabilities: Capabilities::new(&adapter.limits(), adapter.features()),
    }
}

/// Fails when an adapter has less than kernels take for granted: drivers below WebGPU's least are rare, but they exist.
fn check_limits(adapter: &str, limits: &wgpu::Limits) -> std::result::Result<(), GpuError> {
    let least = Capabilities::least();
    for (limit, need, have) in [
        ("maxStorageBuffersPerShaderStage", STORAGE_BUFFERS, limits.max_storage_buffers_per_shader_stage),
        ("maxComputeWorkgroupStorageSize", least.max_workgroup_memory, limits.max_compute_workgroup_storage_size),
        ("maxComputeInvocationsPerWorkgroup", least.max_invocations, limits.max_compute_invocations_per_workgroup),
        ("maxComputeWorkgroupSizeX", least.max_invocations, limits.max_compute_workgroup_size_x),
        ("maxComputeWorkgroupsPerDimension", MAX_WORKGROUPS as u32, limits.max_compute_workgroups_per_dimension),
    ] {
        if have < need {
            let (adapter, what) = (adapter.into(), "every kernel".into());
            return Err(GpuError::Limit { adapter, limit, what, need: need.into(), have: have.into() });
        }
    }
    Ok(())
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle())
}

/// All adapters, the one that [`GpuDevice::request`] takes first.
async fn adapters() -> Vec<wgpu::Adapter> {
    let instance = instance();
    #[cfg(target_family = "wasm")]
    let mut adapters: Vec<_> =
        instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await.into_iter().collect();
    #[cfg(not(target_family = "wasm"))]
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    // Stable: among equals the order of the system stays.
    order::sort_by(&mut adapters, |a, b| rank(a).cmp(&rank(b)));
    adapters
}

fn rank(adapter: &wgpu::Adapter) -> u8 {
    match report(adapter).kind {
        AdapterKind::Discrete => 0,
        AdapterKind::Integrated => 1,
        AdapterKind::Virtual => 2,
        AdapterKind::Unknown => 3,
        AdapterKind::Software => 4,
    }
}

/// A device, shared by the engines that run on it.
#[derive(Clone, Debug)]
pub struct GpuDevice(pub(super) Arc<Inner>);

/// What the clones of a device share.
#[derive(Debug)]
pub(super) struct Inner {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub report: AdapterReport,
    /// The first thing that went wrong.
    pub failure: Arc<Mutex<Option<GpuError>>>,
    pace: Mutex<Pace>,
    /// The fastest way of each matrix product that was measured.
    pub tuning: Mutex<Tuning>,
}

impl Inner {
    /// How fast the device is.
    pub fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().expect("nobody panics while holding this")
    }

    /// The first thing that went wrong.
    pub fn failure(&self) -> Option<GpuError> {
        self.failure.lock().expect("nobody panics while holding this").clone()
    }

    /// Has the device call back whoever waits for it, after waiting for its work if `how` says so. In a browser the event loop does.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn poll(&self, how: wgpu::PollType) -> std::result::Result<(), GpuError> {
        if let Some(lost @ GpuError::Lost(_)) = self.failure() {
            return Err(lost);
        }
        survive(|| self.device.poll(how)).map_err(|problem| match self.failure() {
            Some(lost @ GpuError::Lost(_)) => lost,
            _ => problem,
        })
    }
}

/// Polls. When a driver says that the device is gone while somebody waits for it (as it does after a reset), wgpu 30 tells the callback and
/// then panics, because `PollError` has no word for it. Nothing of ours is half done at that point, and wgpu holds no lock any more.
fn survive(
    poll: impl FnOnce() -> std::result::Result<wgpu::PollStatus, wgpu::PollError>,
) -> std::result::Result<(), GpuError> {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(GpuError::Lost(error.to_string())),
        Err(_) => Err(GpuError::Lost("its driver stopped answering".into())),
    }
}

impl GpuDevice {
    /// Every adapter of this machine, best first.
    pub async fn adapters() -> Vec<AdapterReport> {
        adapters().await.iter().map(report).collect()
    }

    /// A device of the best adapter, with that adapter's own limits.
    ///
    /// # Errors
    /// When there is no adapter, or it gives no device.
    pub async fn request() -> Result<Self> {
        Ok(Self::request_adapter(|_| Some(0)).await?)
    }

    /// A device of the adapter that `choose` picks out of all there are, best first.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] when there is none or `choose` wants none of them; [`GpuError::Limit`] when it has less than every WebGPU
    /// adapter; [`GpuError::NoDevice`] when it gives no device.
    #[cfg_attr(
        target_family = "wasm",
        expect(clippy::arc_with_non_send_sync, reason = "a device in a browser stays in its worker")
    )]
    pub async fn request_adapter(
        choose: impl FnOnce(&[AdapterReport]) -> Option<usize>,
    ) -> std::result::Result<Self, GpuError> {
        let remedy = if cfg!(target_family = "wasm") {
            "this browser has no WebGPU here"
        } else {
            "install a Vulkan, Metal or DirectX 12 driver, or use --device cpu"
        };
        let mut adapters = adapters().await;
        let reports: Vec<_> = adapters.iter().map(report).collect();
        let chosen = choose(&reports).filter(|&chosen| chosen < adapters.len());
        let adapter = adapters.swap_remove(chosen.ok_or_else(|| GpuError::NoAdapter(remedy.into()))?);
        let report = report(&adapter);
        check_limits(&report.name, &adapter.limits())?;
        let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::TIMESTAMP_QUERY;
        let descriptor = wgpu::DeviceDescriptor {
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let refused = |problem: wgpu::RequestDeviceError| GpuError::NoDevice {
            adapter: report.name.clone(),
            problem: problem.to_string(),
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(refused)?;
        let failure = Arc::new(Mutex::new(None));
        let (uncaptured, lost) = (failure.clone(), failure.clone());
        device.on_uncaptured_error(Arc::new(move |error| note(&uncaptured, classify(&error))));
        device.set_device_lost_callback(move |reason, message| {
            note(&lost, GpuError::Lost(format!("{reason:?}: {message}").trim_end_matches([':', ' ']).into()));
        });
        let pace = Mutex::new(Pace::new(report.kind));
        let tuning = Mutex::new(Tuning::new(&report));
        Ok(Self(Arc::new(Inner { device, queue, report, failure, pace, tuning })))
    }

    /// What the device was made of.
    pub fn report(&self) -> &AdapterReport {
        &self.0.report
    }

    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.report.capabilities
    }

    /// Fails with the first thing that went wrong on the device, if anything did.
    pub fn check(&self) -> std::result::Result<(), GpuError> {
        // A loss is told to nobody before the device is polled.
        self.0.poll(wgpu::PollType::Poll)?;
        self.0.failure().map_or(Ok(()), Err)
    }

    /// Gives the device up, as a driver's reset would: everything on it is lost. For tests of what survives that.
    pub fn destroy(&self) {
        self.0.device.destroy();
    }
}

fn note(failure: &Mutex<Option<GpuError>>, error: GpuError) {
    let mut first = failure.lock().expect("nobody panics while holding this");
    // A lost device makes every later call invalid: the loss is what matters.
    if first.is_none() || matches!(error, GpuError::Lost(_)) {
        *first = Some(error);
    }
}

/// wgpu's error as ours.
pub(super) fn classify(error: &wgpu::Error) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { source } => GpuError::OutOfMemory(source.to_string()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            GpuError::Validation(description.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // In a browser a panic ends the program, but nobody polls there: the event loop does.
    #[cfg(panic = "unwind")]
    #[test]
    fn a_poll_that_panics_is_a_loss() {
        survive(|| Ok(wgpu::PollStatus::QueueEmpty)).unwrap();
        for poll in [|| Err(wgpu::PollError::Timeout), || panic!("Error in Device::poll: Parent device is lost")] {
            assert!(matches!(survive(poll), Err(GpuError::Lost(_))));
        }
    }

    #[test]
    fn an_adapter_below_webgpu_is_refused_by_the_name_of_its_limit() {
        check_limits("card", &wgpu::Limits::default()).unwrap();
        let low = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() };
        let error = check_limits("card", &low).unwrap_err();
        assert!(
            matches!(&error, GpuError::Limit { limit: "maxStorageBuffersPerShaderStage", need: 8, have: 4, .. }),
            "{error}"
        );
        let none = check_limits("card", &wgpu::Limits::downlevel_webgl2_defaults());
        assert!(matches!(none, Err(GpuError::Limit { .. })), "{none:?}");
    }
}
