//! `#stack`: the model as a stack of parts with areas in proportion to their weights, and what it would cost at other sizes.
//!
//! What is drawn is the model as it is set, at first the loaded one. Its parts are arithmetic on its configuration (`parts`, `scene`: tests
//! compare them with recorded programs); what it costs is read off programs that the worker records.

mod card;
pub mod costs;
mod drawing;
mod editor;
mod parts;
pub mod plan;
mod program;
mod scene;
pub mod width;

use inkling_core::{Architecture, ModelConfig};
use leptos::prelude::*;

use self::card::{Card, Facts, stored};
use self::costs::{Costs, change};
use self::drawing::{Drawing, Picked};
use self::editor::Editor;
use self::parts::{Group, Id, Part, by_group, parts};
use self::plan::{Draft, Plan, Trouble};
use self::program::Operations;
use self::scene::{Layout, MOST_BLOCKS, Scene};
use crate::protocol::Failure;
use crate::protocol::stack::{Estimate, Estimated};
use crate::ui::announce::tell;
use crate::ui::chip::{Chip, Source};
use crate::ui::number::{count, percent};
use crate::ui::reactive::{effect, live, memo, memo_from_last};
use crate::ui::remote::{Remote, remote};
use crate::ui::store::Store;

/// The figure of `#stack`.
#[component]
pub fn StackFigure(
    /// What all figures share.
    store: Store,
) -> impl IntoView {
    let loaded = memo(move || store.model.get().map(|model| model.config.clone()));
    let original = memo(move || loaded.with(|loaded| loaded.as_ref().map(Draft::of)));
    let draft = draft(store, original);
    let outcome = memo(move || -> Option<Result<Plan, Trouble>> { Some(draft.get()?.plan(&loaded.get()?)) });
    // While the fields say nothing that can be, the last model stays.
    let plan = memo_from_last(move |last: Option<&Option<Plan>>| match outcome.get() {
        Some(Ok(plan)) => Some(plan),
        _ => last.cloned().flatten(),
    });
    let config = memo(move || plan.get().map(|plan| plan.config));
    let base = memo(move || original.get()?.plan(&loaded.get()?).ok());
    let estimate =
        move |plan: Option<Plan>| plan.map(|Plan { config, batch, .. }| Estimate { config, batch_size: batch });
    let estimated = remote(store.client, move || estimate(plan.get()));
    let reference = remote(store.client, move || estimate(base.get()));

    let all = memo(move || config.with(|config| config.as_ref().map(parts).unwrap_or_default()));
    let all_loaded = memo(move || loaded.with(|loaded| loaded.as_ref().map(parts).unwrap_or_default()));
    let is_other = memo(move || config.get() != loaded.get());
    let changes = memo(move || if is_other.get() { factors(&all.get(), &all_loaded.get()) } else { Vec::new() });
    let expanded = RwSignal::new(false);
    let frame = NodeRef::<leptos::html::Div>::new();
    let width = width::of(frame);
    let scene = memo(move || {
        let (config, width) = (config.get(), width.get());
        let Some(config) = config.filter(|_| width > 0.0) else { return Scene::default() };
        let channels = |config: &ModelConfig| {
            if config.architecture == Architecture::Bigram { config.vocab_size } else { config.n_embd }
        };
        let before = if is_other.get() { loaded.get().map(|loaded| channels(&loaded)) } else { None };
        all.with(|parts| {
            all_loaded.with(|before_parts| {
                let loaded = before.map(|channels| (&before_parts[..], channels));
                Layout { parts, channels: channels(&config), loaded, width, expanded: expanded.get() }.scene()
            })
        })
    });
    let layers = memo(move || config.with(|config| config.as_ref().map_or(0, |config| config.n_layer)));
    let tied = memo(move || config.with(|config| config.as_ref().is_some_and(|config| config.tie_word_embeddings)));

    let picked = Picked::new();
    let facts = memo(move || {
        let config = config.get()?;
        let part = part(&all.get(), picked.shown()?)?;
        let before = if is_other.get() {
            all_loaded.with(|parts| self::part(parts, part.id).map(|part| part.count))
        } else {
            None
        };
        let stored =
            store.model.with(|model| model.as_ref().map(|model| stored(model.bytes, model.config.num_parameters())))?;
        Some(Facts { part, before, total: config.num_parameters(), stored, config })
    });
    let hint = move || {
        let Some(config) = config.get() else { return String::new() };
        let parameters = count(config.num_parameters());
        format!(
            "{parameters} weights in all. Point at a part, or go there with Tab and the arrow keys; a click or Enter holds it."
        )
    };
    tell(store, move || outcome.with(|outcome| Some(outcome.as_ref()?.as_ref().err()?.sentence.clone())));
    let learner = store.learner;
    let (probed, probing, probe_failure) = (memo(move || learner.speed()), learner.measuring, learner.unmeasured);
    let touched = move || {
        if probed.get_untracked().is_none() && !probing.get_untracked() && probe_failure.get_untracked().is_none() {
            learner.measure();
        }
    };
    let chip = move || {
        let Some(config) = config.get() else { return String::new() };
        format!("{} layers, stream [{}, {}]", config.n_layer, config.n_positions, config.n_embd)
    };
    let fold = move || {
        let layers = layers.get();
        (layers > MOST_BLOCKS).then(|| {
            let label = move || if expanded.get() { "Fold the blocks".to_owned() } else { format!("Show all {layers} blocks") };
            view! {
                <button type="button" aria-expanded=move || expanded.get().to_string() on:click=move |_| expanded.update(|e| *e = !*e)>
                    {live(label)}
                </button>
            }
        })
    };
    view! {
        <div class="stack-figure">
            <div class="stack-picture">
                <p class="stack-head">
                    {move || {
                        if is_other.get() {
                            view! { <Chip source=Source::Illustrative shape=Signal::derive(chip) /> }
                        } else {
                            view! { <Chip source=Source::Live shape=Signal::derive(chip) /> }
                        }
                    }}
                    {live(fold)}
                </p>
                <Shares all />
                <div class="stack-frame" node_ref=frame>
                    <Drawing scene parts=all changes layers tied picked />
                </div>
                <p class="soft small">{move || legend(&scene.get(), is_other.get(), tied.get())}</p>
            </div>
            <div class="stack-side">
                <Card facts hint=Signal::derive(hint) locked=picked.locked />
                <Editor draft plan=outcome original touched />
                <Costs
                    plan
                    loaded=base
                    estimated=estimated.value
                    reference=reference.value
                    probed
                    probing
                    measure=move || learner.measure()
                />
                <p class="sentence">{move || failure(&[estimated, reference], probe_failure)}</p>
            </div>
            <Operations estimated=estimated.value />
        </div>
    }
}

/// The fields, in step with the address: a new model has its own sizes, an address that names sizes has those.
fn draft(store: Store, original: Memo<Option<Draft>>) -> RwSignal<Option<Draft>> {
    let draft = RwSignal::new(None);
    effect(move || {
        let (original, code) = (original.get(), store.view.sizes.get());
        let wanted = code.as_deref().and_then(Draft::parse).or(original);
        if draft.get_untracked() != wanted {
            draft.set(wanted);
        }
    });
    effect(move || {
        let Some(now) = draft.get() else { return };
        // What is being typed and cannot be yet stays out of the address.
        let code = (Some(&now) != original.get().as_ref()).then(|| now.code());
        let is_readable = code.as_deref().is_none_or(|code| Draft::parse(code).as_ref() == Some(&now));
        if is_readable && store.view.sizes.get_untracked() != code {
            store.view.sizes.set(code);
        }
    });
    draft
}

fn failure(remotes: &[Remote<Estimated>], probe: RwSignal<Option<Failure>>) -> Option<String> {
    let failure = remotes.iter().find_map(|remote| remote.failure.get()).or(probe.get())?;
    Some(failure.message)
}

fn part(parts: &[Part], id: Id) -> Option<Part> {
    parts.iter().find(|part| part.id == id).cloned()
}

/// By which factor each part's weights are more than the loaded model's.
fn factors(parts: &[Part], loaded: &[Part]) -> Vec<(Id, String)> {
    let factor = |part: &Part| match loaded.iter().find(|before| before.id == part.id) {
        Some(before) if before.count > 0 => Some((part.id, change(part.count as f64, before.count as f64))),
        Some(_) => None,
        None => Some((part.id, "new".into())),
    };
    parts.iter().filter_map(factor).collect()
}

/// What the drawing's sizes mean.
fn legend(scene: &Scene, compared: bool, tied: bool) -> String {
    if scene.placed.is_empty() {
        return String::new();
    }
    let per_weight = scene.scale * scene.scale;
    let of = if per_weight >= 1.0 {
        format!("A weight has about {} square pixels", per_weight.round() as u64)
    } else {
        format!("A pixel has about {} weights", count((1.0 / per_weight).round() as u64))
    };
    let mut text = format!(
        "Areas are in proportion to numbers of weights. {of}. Norms are too thin for that: they are drawn 3 pixels wide. ⋈ is attention \
         proper, which has no weights."
    );
    if tied {
        text += " The head, dashed, borrows the token table and has none of its own.";
    }
    if compared {
        text += " Dashed outlines inside: the loaded model, on the same scale.";
    }
    if scene.hidden_blocks > 0 {
        text += " One block is drawn; the bar counts them all.";
    }
    text
}

/// Where the weights are, over the whole model.
#[component]
fn Shares(
    /// Every part.
    all: Memo<Vec<Part>>,
) -> impl IntoView {
    let shares = memo(move || {
        let sums = all.with(|parts| by_group(parts));
        let total = sums.iter().sum::<u64>().max(1) as f64;
        sums.map(|sum| sum as f64 / total)
    });
    let bar = Group::ALL.map(|group| {
        let width = move || format!("{:.3}%", shares.get()[group as usize] * 100.0);
        view! { <span class=format!("stack-share stack-{}", group.class()) style:width=live(width)></span> }
    });
    let legend = Group::ALL.map(|group| {
        view! {
            <li>
                <span class=format!("stack-swatch stack-{}", group.class())></span>
                {group.name()}
                " "
                <span class="stack-percent">{move || percent(shares.get()[group as usize])}</span>
            </li>
        }
    });
    view! {
        <div class="stack-shares" aria-hidden="true">{bar.into_iter().collect_view()}</div>
        <ul class="stack-legend" aria-label="Share of all weights">{legend.into_iter().collect_view()}</ul>
    }
}
