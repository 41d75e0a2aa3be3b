//! Settings of sampling.

use leptos::prelude::*;

use super::writing::{Desk, MOST_TOKENS};
use crate::ui::number::{count, parse, three};
use crate::ui::reactive::{live, memo};

/// A number by a range and by typing.
#[component]
fn Slider(
    /// Its name.
    label: &'static str,
    /// Of its elements.
    id: &'static str,
    /// Now; none is off, which is the right end of the range.
    #[prop(into)]
    value: Signal<Option<f64>>,
    /// Hears what is picked.
    set: impl Fn(Option<f64>) + Copy + Send + Sync + 'static,
    /// Least, and step.
    from: (f64, f64),
    /// Right end of the range; there it is off, where it can be.
    #[prop(into)]
    to: Signal<f64>,
    /// Whether it can be off.
    #[prop(default = false)]
    optional: bool,
    /// In words.
    #[prop(into)]
    says: Signal<String>,
) -> impl IntoView {
    let (least, step) = from;
    let read = move |text: String, typed: bool| {
        if text.is_empty() && optional {
            return set(None);
        }
        let Some(number) = parse(&text) else { return };
        let number = number.max(least);
        // What is typed may be beyond the range's end.
        let off = optional && (number >= to.get_untracked()) && !typed;
        set((!off).then_some(number));
    };
    let shown = move || value.get().map(short);
    // Off says so itself.
    let spoken = move || shown().map_or_else(|| says.get(), |number| format!("{number}, {}", says.get()));
    view! {
        <div class="setting">
            <label for=id>{label}</label>
            <span class="setting-inputs">
                <input
                    type="range"
                    id=id
                    min=least
                    max=to
                    step=step
                    prop:value=move || short(value.get().unwrap_or(to.get()))
                    aria-valuetext=spoken
                    on:input=move |event| read(event_target_value(&event), false)
                />
                <input
                    type="number"
                    aria-label=format!("{label}, as a number")
                    min=least
                    step=step
                    placeholder=if optional { "off" } else { "" }
                    prop:value=move || shown().unwrap_or_default()
                    on:change=move |event| read(event_target_value(&event), true)
                />
            </span>
            <span class="setting-says small soft">{says}</span>
        </div>
    }
}

/// A float32's own digits, not those of the float64 beside it.
fn short(value: f64) -> String {
    (value as f32).to_string()
}

fn round(value: f64) -> f32 {
    ((value * 1000.0).round() / 1000.0) as f32
}

/// All settings.
#[component]
pub fn Controls(
    /// Writes.
    desk: Desk,
) -> impl IntoView {
    let view = desk.store.view;
    let vocab = memo(move || desk.store.model.get().map_or(65, |model| model.config.vocab_size));
    // Beyond a hundred, a range is too coarse to be of use: more can be typed.
    let most = Signal::derive(move || vocab.get().min(100) as f64);
    let temperature_says = Signal::derive(move || match view.temperature.get() {
        0.0 => "greedy: always the likeliest, no dice".into(),
        t if t < 1.0 => "safer than the model: likely tokens gain".to_owned(),
        1.0 => "the model's own chances".into(),
        _ => "wilder than the model: unlikely tokens gain".into(),
    });
    let k_says = Signal::derive(move || match view.top_k.get() {
        None => format!("off: all {} tokens", vocab.get()),
        Some(k) => format!("the {k} likeliest tokens"),
    });
    let p_says = Signal::derive(move || match view.top_p.get() {
        None => "off: however unlikely".into(),
        Some(p) => format!("the fewest that make up {} %", three(f64::from(p) * 100.0)),
    });
    let problem = move || desk.prompt_problem();
    let writing = move || desk.text.with(|text| text.writing) || desk.slow.get();
    let cannot = move || !desk.can_write();
    let length_says = move || {
        let most = desk.most()?;
        (view.length.get() > most).then(|| {
            let vocab = count(vocab.get() as u64);
            format!("At most {most} are written: the logits of all {vocab} tokens are kept for each.")
        })
    };
    view! {
        <div class="panel sample-controls">
            <div class="setting setting-prompt">
                <label for="sample-prompt">"Prompt: what the model goes on from"</label>
                <textarea
                    id="sample-prompt"
                    rows="1"
                    spellcheck="false"
                    autocomplete="off"
                    autocapitalize="off"
                    prop:value=move || view.prompt.get()
                    aria-describedby="sample-prompt-problem"
                    aria-invalid=move || problem().is_some().then_some("true")
                    on:input=move |event| view.prompt.set(event_target_value(&event))
                ></textarea>
                <p class="sentence" id="sample-prompt-problem">{live(problem)}</p>
            </div>
            <Slider
                label="Temperature T"
                id="sample-temperature"
                value=Signal::derive(move || Some(view.temperature.get().into()))
                set=move |value| view.temperature.set(round(value.unwrap_or(1.0)))
                from=(0.0, 0.05)
                to=2.0
                says=temperature_says
            />
            <Slider
                label="Top-k"
                id="sample-top-k"
                value=Signal::derive(move || view.top_k.get().map(|k| k as f64))
                set=move |value| view.top_k.set(value.map(|k| k as usize).filter(|&k| k < vocab.get_untracked()))
                from=(1.0, 1.0)
                to=most
                optional=true
                says=k_says
            />
            <Slider
                label="Top-p"
                id="sample-top-p"
                value=Signal::derive(move || view.top_p.get().map(f64::from))
                set=move |value| view.top_p.set(value.map(round).filter(|&p| p < 1.0))
                from=(0.05, 0.05)
                to=1.0
                optional=true
                says=p_says
            />
            <div class="setting-buttons">
                <span class="setting-small">
                    <label for="sample-seed">"Seed of the dice"</label>
                    <input
                        id="sample-seed"
                        inputmode="numeric"
                        autocomplete="off"
                        size="8"
                        prop:value=move || view.seed.get().to_string()
                        on:change=move |event| {
                            if let Ok(seed) = event_target_value(&event).trim().parse() { view.seed.set(seed) }
                        }
                    />
                </span>
                <span class="setting-small">
                    <label for="sample-length">"Characters"</label>
                    <input
                        id="sample-length"
                        type="number"
                        min="1"
                        max=MOST_TOKENS
                        step="1"
                        prop:value=move || view.length.get().to_string()
                        on:change=move |event| {
                            if let Ok(length) = event_target_value(&event).parse::<usize>() {
                                view.length.set(length.clamp(1, MOST_TOKENS));
                            }
                        }
                    />
                </span>
                <span class="small soft" id="sample-length-says">{live(length_says)}</span>
                <button class="primary" on:click=move |_| desk.new_seed()>"New seed"</button>
                <button on:click=move |_| desk.rewrite() disabled=live(cannot) title="The same seed gives the same text again.">"Write"</button>
                <button on:click=move |_| desk.stop() disabled=move || !writing()>"Stop"</button>
                <button id="sample-step" on:click=move |_| desk.step() disabled=live(cannot)>"Step: one more"</button>
                <button
                    id="sample-slow"
                    on:click=move |_| desk.toggle_slow()
                    disabled=live(cannot)
                    aria-pressed=move || desk.slow.get().to_string()
                >
                    "Slow motion"
                </button>
            </div>
        </div>
    }
}
