//! Which engine computes: a real GPU if there is one, else the CPU. A software adapter runs the same kernels a hundred times slower, and is taken
//! only on request.

use inkling_core::Device;
use inkling_core::cpu::Pool;
use inkling_core::error::GpuError;
use inkling_core::gpu::GpuDevice;

use super::Workshop;
use crate::protocol::model::{EngineChoice, EngineChosen, EngineKind, UseEngine};
use crate::protocol::{Failure, Id, Part};

/// What the CPU engine is called.
const CPU: &str = "CPU, SIMD";

/// What computes, and who hears when that changes.
#[derive(Default)]
pub struct Engines {
    gpu: Option<GpuDevice>,
    /// What the visitor chose, and what that is called.
    choice: EngineChoice,
    name: Option<String>,
    watcher: Option<Id>,
}

/// A GPU, or its absence.
enum Found {
    Real(GpuDevice, String),
    Software(String),
    None(String),
}

impl Engines {
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
        self.name.clone().unwrap_or_else(|| CPU.into())
    }

    /// Takes the engine that fits the choice.
    async fn choose(&mut self, choice: EngineChoice) -> EngineChosen {
        let chosen = self.find(choice).await;
        self.choice = choice;
        self.name = Some(chosen.name.clone());
        chosen
    }

    async fn find(&mut self, choice: EngineChoice) -> EngineChosen {
        self.gpu = None;
        let cpu = |reason: String, instead| EngineChosen { kind: EngineKind::Cpu, name: CPU.into(), reason, instead };
        if choice == EngineChoice::Cpu {
            return cpu("You chose the CPU.".into(), false);
        }
        let asked = choice == EngineChoice::WebGpu;
        match find(asked).await {
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
    /// Moves everything to another engine.
    pub(super) async fn use_engine(&mut self, id: Id, UseEngine(choice): UseEngine) {
        let chosen = self.engines.choose(choice).await;
        self.engines.watcher = Some(id);
        self.forget_derived();
        self.part(id, Part::UseEngine(chosen));
    }

    /// Nobody listens for engines any more, if it was this ask.
    pub(super) fn forget_watcher(&mut self, id: Id) {
        self.engines.watcher = self.engines.watcher.filter(|watcher| *watcher != id);
    }

    /// After the GPU failed while it trained: another one, if there is one and it is not tried in vain again and again; else the CPU.
    pub(super) async fn renew_engine(&mut self, problem: &str, in_vain: bool) {
        let chosen = if in_vain { None } else { Some(self.engines.choose(self.engines.choice).await) };
        match chosen.filter(|chosen| chosen.kind == EngineKind::WebGpu) {
            Some(chosen) => {
                self.forget_derived();
                if let Some(watcher) = self.engines.watcher {
                    self.part(watcher, Part::UseEngine(chosen));
                }
            }
            None => self.fall_back(&Failure::input(problem)),
        }
    }

    /// After the GPU failed: the CPU goes on in its place.
    pub(super) fn fall_back(&mut self, failure: &Failure) {
        self.engines.gpu = None;
        self.engines.name = Some(CPU.into());
        self.forget_derived();
        let reason = format!("The CPU took over, because WebGPU failed: {}.", failure.message.trim_end_matches('.'));
        let chosen = EngineChosen { kind: EngineKind::Cpu, name: CPU.into(), reason, instead: true };
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

        use crate::protocol::Event;

        let said = Rc::new(RefCell::new(Vec::new()));
        let heard = said.clone();
        let (sender, _receiver) = futures_channel::mpsc::unbounded();
        let mut workshop = Workshop::new(move |event| heard.borrow_mut().push(event), sender);
        pollster::block_on(workshop.use_engine(7, UseEngine(EngineChoice::WebGpu)));
        let Some(device) = workshop.engines.gpu().cloned() else { return };
        device.destroy();
        let lost: Failure = inkling_core::Error::from(device.check().unwrap_err()).into();
        assert!(workshop.is_of_gpu(&lost), "{lost}");
        workshop.fall_back(&lost);
        assert!(workshop.engines.gpu().is_none() && !workshop.is_of_gpu(&lost));
        let said = said.borrow();
        let [.., Event::Part { id: 7, part: Part::UseEngine(chosen) }] = &said[..] else { panic!("{said:?}") };
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
