//! Which engine computes: a real GPU if there is one, else the CPU. A software adapter runs the same kernels a hundred times slower, and is taken
//! only on request.

use inkling_core::Device;
use inkling_core::cpu::Pool;
use inkling_core::error::GpuError;
use inkling_core::gpu::GpuDevice;

use super::{Incoming, Workshop};
use crate::protocol::model::{EngineChoice, EngineChosen, EngineKind, MOST_THREADS, UseEngine, cpu_name};
use crate::protocol::{Failure, Id, Part};

/// What computes, and who hears when that changes.
pub struct Engines {
    /// With how many threads the CPU can train.
    pub threads: usize,
    gpu: Option<GpuDevice>,
    /// What it is called.
    name: Option<String>,
    /// Whether it was asked for by name.
    by_name: bool,
    watcher: Option<Id>,
}

/// What came of asking for a GPU.
#[derive(Debug)]
pub struct Asked {
    /// Of the ask.
    id: Id,
    /// Even for one in software.
    by_name: bool,
    found: Found,
}

/// A GPU, or its absence.
enum Found {
    Real(GpuDevice, String),
    Software(String),
    None(String),
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Real(_, text) | Self::Software(text) | Self::None(text)) = self;
        f.write_str(text)
    }
}

/// How long a driver may think: some never answer. Until then the CPU computes, or what did so before.
#[cfg(target_family = "wasm")]
const PATIENCE: i32 = 10_000;

impl Engines {
    /// The CPU, until another one is chosen.
    pub fn new(threads: usize) -> Self {
        Self { threads, gpu: None, name: None, by_name: false, watcher: None }
    }

    /// A device to load a program on.
    pub fn device(&self) -> Device {
        match &self.gpu {
            Some(device) => Device::Gpu(device.clone()),
            None => Device::Cpu(Pool::new(1)),
        }
    }

    /// The GPU, if it computes.
    pub fn gpu(&self) -> Option<&GpuDevice> {
        self.gpu.as_ref()
    }

    /// What computes.
    pub fn name(&self) -> String {
        self.name.clone().filter(|_| self.gpu.is_some()).unwrap_or_else(|| cpu_name(self.threads))
    }

    /// Takes what was found; nothing, if it was not asked for.
    fn take(&mut self, found: Option<(Found, bool)>) -> EngineChosen {
        let chosen = self.of(found);
        self.name = Some(chosen.name.clone());
        chosen
    }

    fn of(&mut self, found: Option<(Found, bool)>) -> EngineChosen {
        self.gpu = None;
        let name = cpu_name(self.threads);
        let cpu = |reason: String, instead| EngineChosen { kind: EngineKind::Cpu, name, reason, instead };
        let Some((found, asked)) = found else { return cpu("You chose the CPU.".into(), false) };
        self.by_name = asked;
        match found {
            Found::Real(device, name) => {
                let software = is_software(&name) || !device.report().kind.is_hardware();
                self.gpu = Some(device);
                let reason = match (software, asked) {
                    (true, _) => {
                        "You chose WebGPU. This adapter is a program, not a graphics card: slow, with the same numbers."
                    }
                    (false, true) => "You chose WebGPU.",
                    (false, false) => "This browser offers a graphics card.",
                };
                EngineChosen {
                    kind: EngineKind::WebGpu,
                    name: format!("WebGPU, {name}"),
                    reason: reason.into(),
                    instead: false,
                }
            }
            Found::Software(name) => cpu(
                format!(
                    "The only WebGPU adapter here, {name}, is a program and not a graphics card: the CPU engine is faster."
                ),
                false,
            ),
            Found::None(problem) => cpu(format!("There is no WebGPU to use here: {problem}."), asked),
        }
    }
}

/// Asks for one, but not for ever.
#[cfg(target_family = "wasm")]
async fn find_soon(even_software: bool) -> Found {
    use futures_util::future::{Either, select};
    use wasm_bindgen::JsCast;

    let found = std::pin::pin!(find(even_software));
    let pause = js_sys::Promise::new(&mut |resolve, _| {
        let scope: web_sys::DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        // Fails never: the function is one.
        let _ = scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, PATIENCE);
    });
    match select(found, wasm_bindgen_futures::JsFuture::from(pause)).await {
        Either::Left((found, _)) => found,
        Either::Right(_) => Found::None(format!("it has not answered for {} seconds", PATIENCE / 1000)),
    }
}

async fn find(even_software: bool) -> Found {
    let names = match adapter_names().await {
        Ok(names) => names,
        Err(problem) => return Found::None(problem),
    };
    let mut seen = String::new();
    let device = GpuDevice::request_adapter(|reports| {
        let best = reports.first()?;
        seen = if names.is_empty() { best.name.clone() } else { names.clone() };
        let software = !best.kind.is_hardware() || is_software(&seen);
        (even_software || !software).then_some(0)
    });
    match device.await {
        Ok(device) => Found::Real(device, seen),
        Err(GpuError::NoAdapter(_)) if !seen.is_empty() => Found::Software(seen),
        Err(GpuError::NoAdapter(problem)) => Found::None(problem),
        Err(error) => Found::None(error.to_string()),
    }
}

/// Whether an adapter of these names is a program on the processor. Browsers have no other word for it, but for some a flag.
fn is_software(names: &str) -> bool {
    let names = names.to_ascii_lowercase();
    let words = ["swiftshader", "llvmpipe", "lavapipe", "basic render", "software"];
    words.iter().any(|word| names.contains(word))
        || names.split(|c: char| !c.is_alphanumeric()).any(|word| word == "warp")
}

/// What the browser tells of its adapter: wgpu passes only the description on, which most leave empty.
///
/// # Errors
/// When there is none.
#[cfg(target_family = "wasm")]
async fn adapter_names() -> Result<String, String> {
    use js_sys::{Function, Promise, Reflect};
    use wasm_bindgen::{JsCast, JsValue};

    let of = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).unwrap_or_default();
    let gpu = of(&of(&js_sys::global(), "navigator"), "gpu");
    if !gpu.is_object() {
        let secure = of(&js_sys::global(), "isSecureContext").is_truthy();
        let why =
            if secure { "this browser does not offer it" } else { "browsers offer it to pages from https:// only" };
        return Err(why.into());
    }
    let request: Function = of(&gpu, "requestAdapter").dyn_into().map_err(|_| "this browser does not offer it")?;
    let adapter = request.call0(&gpu).and_then(JsCast::dyn_into::<Promise>);
    let adapter = match adapter {
        Ok(promise) => wasm_bindgen_futures::JsFuture::from(promise).await,
        Err(problem) => Err(problem),
    };
    let adapter = adapter.ok().filter(JsValue::is_object).ok_or("this browser has no adapter for it")?;
    let info = of(&adapter, "info");
    let mut names: Vec<String> = Vec::new();
    for name in ["description", "device", "architecture", "vendor"] {
        let text = of(&info, name).as_string().unwrap_or_default();
        if !text.is_empty() && !names.contains(&text) {
            names.push(text);
        }
    }
    let fallback = [&adapter, &info].iter().any(|object| of(object, "isFallbackAdapter").is_truthy());
    Ok(match (names.is_empty(), fallback) {
        (true, true) => "a software adapter".into(),
        (true, false) => "an adapter without a name".into(),
        (false, true) if !is_software(&names.join(" ")) => format!("{} (software)", names.join(" ")),
        (false, _) => names.join(" "),
    })
}

#[cfg(not(target_family = "wasm"))]
async fn adapter_names() -> Result<String, String> {
    Ok(String::new())
}

impl Workshop {
    /// Begins to move everything to another engine. A GPU is asked for beside the task, which goes on with what it has until there is an answer.
    pub(super) async fn use_engine(&mut self, id: Id, UseEngine { choice, threads }: UseEngine) {
        self.engines.watcher = Some(id);
        self.engines.threads = threads.map_or_else(self.role.threads, |threads| threads.clamp(1, MOST_THREADS));
        if choice == EngineChoice::Cpu {
            return self.take_engine(id, None);
        }
        let by_name = choice == EngineChoice::WebGpu;
        #[cfg(target_family = "wasm")]
        {
            let sender = self.downloads.sender();
            wasm_bindgen_futures::spawn_local(async move {
                let found = find_soon(by_name).await;
                // The receiver lives as long as the worker.
                let _ = sender.unbounded_send(Incoming::Engine(Asked { id, by_name, found }));
            });
        }
        #[cfg(not(target_family = "wasm"))]
        self.receive(Incoming::Engine(Asked { id, by_name, found: find(by_name).await }));
    }

    /// There is an answer.
    pub(super) fn engine_found(&mut self, Asked { id, by_name, found }: Asked) {
        // Another choice may have been made since.
        if self.engines.watcher == Some(id) {
            self.take_engine(id, Some((found, by_name)));
        }
    }

    fn take_engine(&mut self, id: Id, found: Option<(Found, bool)>) {
        let had_gpu = self.engines.gpu.is_some();
        let chosen = self.engines.take(found);
        // From the CPU to the CPU nothing changes.
        if had_gpu || self.engines.gpu.is_some() {
            self.forget_derived();
        }
        self.part(id, Part::UseEngine(chosen));
    }

    /// Nobody listens for engines any more, if it was this ask.
    pub(super) fn forget_watcher(&mut self, id: Id) {
        self.engines.watcher = self.engines.watcher.filter(|watcher| *watcher != id);
    }

    /// After the GPU failed while it trained: another one, if there is one and it is not tried in vain again and again; else the CPU.
    pub(super) async fn renew_engine(&mut self, problem: &str, in_vain: bool) {
        let by_name = self.engines.by_name;
        #[cfg(target_family = "wasm")]
        let finding = find_soon(by_name);
        #[cfg(not(target_family = "wasm"))]
        let finding = find(by_name);
        let found = if in_vain { Found::None(String::new()) } else { finding.await };
        let chosen = self.engines.take(Some((found, by_name)));
        if self.engines.gpu.is_none() {
            return self.fall_back(&Failure::input(problem));
        }
        self.forget_derived();
        if let Some(watcher) = self.engines.watcher {
            self.part(watcher, Part::UseEngine(chosen));
        }
    }

    /// After the GPU failed: the CPU goes on in its place.
    pub(super) fn fall_back(&mut self, failure: &Failure) {
        self.engines.gpu = None;
        self.forget_derived();
        let reason = format!("The CPU took over, because WebGPU failed: {}.", failure.message.trim_end_matches('.'));
        let name = cpu_name(self.engines.threads);
        let chosen = EngineChosen { kind: EngineKind::Cpu, name, reason, instead: true };
        if let Some(watcher) = self.engines.watcher {
            self.part(watcher, Part::UseEngine(chosen));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that is lost, as after a driver's reset; only where there is an adapter.
    #[test]
    fn the_cpu_takes_over_from_a_lost_gpu() {
        use std::cell::RefCell;
        use std::rc::Rc;

        use super::super::Role;
        use crate::protocol::stack::Probe;
        use crate::protocol::{Ask, Event, Request};

        let said = Rc::new(RefCell::new(Vec::new()));
        let heard = said.clone();
        let (sender, _receiver) = futures_channel::mpsc::unbounded();
        let mut workshop = Workshop::new(Role::LEARNER, move |event| heard.borrow_mut().push(event), sender);
        pollster::block_on(workshop.use_engine(7, UseEngine { choice: EngineChoice::WebGpu, threads: None }));
        let Some(device) = workshop.engines.gpu().cloned() else {
            assert!(std::env::var_os("INKLING_REQUIRE_GPU").is_none(), "there is no adapter: {:?}", said.borrow());
            return;
        };
        // What is too large for either engine is no reason to leave the GPU.
        let memory: Failure = inkling_core::error::check_memory(2 << 30, 1 << 30).unwrap_err().into();
        assert!(memory.kind == crate::protocol::FailureKind::Memory && !workshop.is_of_gpu(&memory), "{memory}");
        device.destroy();
        let lost: Failure = inkling_core::Error::from(device.check().unwrap_err()).into();
        assert!(workshop.is_of_gpu(&lost), "{lost}");
        // Found out by the next who computes on it, who is answered all the same.
        workshop.receive(Incoming::Request(Request::Ask { id: 8, call: Probe.call() }));
        while pollster::block_on(workshop.work()) {}
        assert!(workshop.engines.gpu().is_none() && !workshop.is_of_gpu(&lost));
        let said = said.borrow();
        let [.., Event::Part { id: 7, part: Part::UseEngine(chosen) }, Event::Done { id: 8, .. }] = &said[..] else {
            panic!("{said:?}")
        };
        assert!(chosen.kind == EngineKind::Cpu && chosen.instead && chosen.reason.contains("lost"), "{chosen:?}");
    }

    #[test]
    fn software_is_told_from_cards_by_its_name() {
        for name in
            ["google swiftshader", "llvmpipe (LLVM 19.1, 256 bits)", "Microsoft Basic Render Driver", "microsoft warp"]
        {
            assert!(is_software(name), "{name}");
        }
        for name in ["apple metal-3", "nvidia ampere", "Warpdrive 9000", "an adapter without a name", "intel gen-12lp"]
        {
            assert!(!is_software(name), "{name}");
        }
    }
}
