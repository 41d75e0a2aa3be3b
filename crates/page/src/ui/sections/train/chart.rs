//! The curves, the step that is pointed at, and its numbers.

use leptos::html::Div;
use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent};

use super::lab::{Lab, Run};
use super::log::Log;
use super::plot::draw::{self, Drawing, Label, Scene};
use crate::ui::number::{count, three};
use crate::ui::reactive::{live, memo};
use crate::ui::sections::stack::width;

/// The figure, and what is read off it.
pub fn view(lab: Lab) -> AnyView {
    let frame = NodeRef::<Div>::new();
    let width = width::of(frame);
    let drawing = memo(move || draw(lab, width.get()));
    let cursor = move || lab.pointed.get().or_else(|| lab.held.get());
    let last =
        memo(move || lab.picked.get().map_or(0, |run| run.log.read().steps.last().map_or(0, |point| point.step)));
    let step_at = move |event: &PointerEvent| {
        let left = frame.get_untracked()?.get_bounding_client_rect().left();
        let scale = draw::steps(width.get_untracked(), lab.log_steps.get_untracked(), last_of_all(lab));
        let last = last.get_untracked();
        (last > 0).then(|| scale.step_at(f64::from(event.client_x()) - left).clamp(1, last))
    };
    let on_key = move |event: KeyboardEvent| {
        let Some(run) = lab.picked.get_untracked() else { return };
        let last = last.get_untracked();
        if last == 0 {
            return;
        }
        let now = lab.held.get_untracked().unwrap_or(last);
        let evaluations: Vec<u64> = run.log.read_untracked().evaluations.iter().map(|e| e.step).collect();
        let to = match event.key().as_str() {
            "Escape" => None,
            "ArrowLeft" | "ArrowDown" => Some(now.saturating_sub(1)),
            "ArrowRight" | "ArrowUp" => Some(now + 1),
            "PageDown" => Some(evaluations.into_iter().rev().find(|&step| step < now).unwrap_or(1)),
            "PageUp" => Some(evaluations.into_iter().find(|&step| step > now).unwrap_or(last)),
            "Home" => Some(1),
            "End" => Some(last),
            _ => return,
        };
        event.prevent_default();
        lab.pointed.set(None);
        lab.held.set(to.map(|step| step.clamp(1, last)));
    };
    let numbers = memo(move || {
        lab.picked.get().map(|run| numbers(&run.log.read(), cursor())).unwrap_or_else(|| numbers(&Log::default(), None))
    });
    let spoken = move || {
        let text: Vec<String> = numbers.get().iter().map(|(name, value)| format!("{name} {value}")).collect();
        text.join(", ")
    };
    let paths = move || {
        drawing.with(|drawing| {
            drawing.paths.iter().map(|(class, path)| view! { <path class=*class d=path.clone()></path> }).collect_view()
        })
    };
    let labels = move || {
        drawing.with(|drawing| {
            drawing
                .labels
                .iter()
                .map(|Label { class, x, y, text }| {
                    view! { <text class=*class x=*x as i32 y=*y as i32>{text.clone()}</text> }
                })
                .collect_view()
        })
    };
    let shown = move || {
        numbers
            .get()
            .map(|(name, value)| view! { <div><dt>{name}</dt><dd>{value}</dd></div> })
            .into_iter()
            .collect_view()
    };
    view! {
        <div class="train-plot-head">
            <p class="small soft">"Loss: nats per token, lower is better. Point at a step, or use the arrow keys."</p>
            <label class="train-check small">
                <input
                    type="checkbox"
                    id="train-log"
                    prop:checked=move || lab.log_steps.get()
                    on:change=move |event| lab.log_steps.set(event_target_checked(&event))
                />
                "Stretch the beginning (log steps)"
            </label>
        </div>
        <div
            class="train-plot"
            id="train-plot"
            node_ref=frame
            role="slider"
            tabindex="0"
            aria-label="Step of the curves: arrows move by a step, Page Up and Page Down by an evaluation, Escape leaves"
            aria-valuemin="1"
            aria-valuemax=move || last.get().max(1)
            aria-valuenow=move || cursor().unwrap_or(last.get().max(1))
            aria-valuetext=spoken
            on:pointermove=move |event| lab.pointed.set(step_at(&event))
            on:pointerleave=move |_| lab.pointed.set(None)
            on:click=move |_| lab.held.set(lab.pointed.get_untracked())
            on:keydown=on_key
        >
            <svg
                width=move || width.get() as i32
                height=move || drawing.with(|drawing| drawing.height as i32)
                aria-hidden="true"
            >
                {live(paths)}
                {live(labels)}
            </svg>
        </div>
        <dl class="train-numbers" id="train-numbers" data-loss=move || exact(lab, cursor())>{live(shown)}</dl>
    }
    .into_any()
}

/// The last step of the longest run that is drawn.
fn last_of_all(lab: Lab) -> u64 {
    let drawn = shown(lab).into_iter().chain(lab.picked.get()).map(Run::last);
    drawn.max().unwrap_or_else(|| lab.draft.recipe.with(|recipe| recipe.train.max_steps))
}

/// Runs that are drawn beside the picked one.
fn shown(lab: Lab) -> Vec<Run> {
    let picked = lab.picked.get();
    lab.runs.get().into_iter().filter(|run| Some(*run) != picked && run.shown.get()).collect()
}

fn draw(lab: Lab, width: f64) -> Drawing {
    if width < 1.0 {
        return Drawing::default();
    }
    let (log, last) = (lab.log_steps.get(), last_of_all(lab));
    let scene = |run: &Log, others: &[(usize, String, &Log)], uniform, bigram, clip, looked| {
        Scene {
            width,
            log,
            last,
            uniform,
            bigram,
            clip,
            run,
            others,
            cursor: lab.pointed.get().or_else(|| lab.held.get()),
            looked,
        }
        .draw()
    };
    let Some(run) = lab.picked.get() else {
        // Before the first run: what it will be measured by.
        let size = lab.draft.plan.get().and_then(Result::ok).map(|plan| plan.vocab_size);
        let clip = lab.draft.recipe.with(|recipe| recipe.train.max_grad_norm);
        return scene(&Log::default(), &[], size.map(|size| ((size as f64).ln(), size)), None, clip, None);
    };
    let others = shown(lab);
    let logs: Vec<_> = others.iter().map(|other| other.log.read()).collect();
    let others: Vec<_> = others.iter().zip(&logs).map(|(other, log)| (other.number, other.name(), &**log)).collect();
    let card = run.card.get_value();
    let looked = lab.looked.get().filter(|(looked, _)| *looked == run).map(|(_, step)| step);
    let uniform = Some((card.uniform_loss, card.plan.vocab_size));
    scene(&run.log.read(), &others, uniform, Some(card.bigram_loss), card.settings.train.max_grad_norm, looked)
}

/// The training loss with all its digits.
fn exact(lab: Lab, cursor: Option<u64>) -> Option<String> {
    let log = lab.picked.get()?.log.read();
    log.at(cursor.unwrap_or(u64::MAX)).map(|(point, _)| point.loss.to_string())
}

/// The numbers of a step: the one that is pointed at, or the last.
fn numbers(log: &Log, cursor: Option<u64>) -> [(&'static str, String); 7] {
    let none = || "–".to_owned();
    let at = log.at(cursor.unwrap_or(u64::MAX));
    let evaluated = at.and_then(|(point, _)| log.evaluated_at(point.step));
    let number = |value: Option<f64>| value.map_or_else(none, three);
    let gap = evaluated.and_then(|e| Some(e.val_loss - f64::from(log.at(e.step)?.1)));
    [
        ("step", at.map_or_else(none, |(point, _)| count(point.step))),
        ("train loss", number(at.map(|(point, _)| point.loss.into()))),
        ("smoothed", number(at.map(|(_, mean)| mean.into()))),
        ("val loss", evaluated.map_or_else(none, |e| format!("{} at {}", three(e.val_loss), count(e.step)))),
        ("val − train", number(gap)),
        ("learning rate", number(at.map(|(point, _)| point.learning_rate.into()))),
        ("gradient norm", number(at.map(|(point, _)| point.grad_norm.into()))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::sections::train::log::tests::run;

    #[test]
    fn numbers_are_those_of_the_step_that_is_pointed_at() {
        let log = run(30, |step| 4.0 - step as f32 / 10.0, |_| 3.0);
        let texts = |cursor| numbers(&log, cursor).map(|(_, value)| value);
        assert_eq!(texts(Some(25))[..2], ["25", "1.50"]);
        assert_eq!(texts(Some(25))[3], "3.00 at 20");
        assert_eq!(texts(None)[0], "30");
        assert_eq!(numbers(&Log::default(), None).map(|(_, value)| value)[0], "–");
    }
}
