//! Token row + position row = sum.

use leptos::html::Div;
use leptos::prelude::*;

use super::picker::TextTokens;
use super::strips::{bars, decimals, fixed, limit};
use super::{Place, named};
use crate::protocol::embed::{TokenRows, TokenRowsRead};
use crate::ui::canvas::{Picture, Pixels};
use crate::ui::chip::{Chip, Source};
use crate::ui::keys::slide;
use crate::ui::number::three;
use crate::ui::reactive::{live, memo};
use crate::ui::remote::remote;
use crate::ui::store::Store;

impl TokenRowsRead {
    /// The rows there are, the sum last.
    fn rows(&self) -> Vec<&[f32]> {
        let mut rows: Vec<&[f32]> = vec![&self.token];
        rows.extend(self.position.iter().map(|row| &row[..]));
        rows.push(&self.sum);
        rows
    }

    fn limit(&self) -> f32 {
        limit(&self.rows())
    }

    /// `channel 37: 0.120 + −0.051 = 0.069`.
    fn at(&self, channel: usize) -> Option<String> {
        let decimals = decimals(self.limit());
        let number = |row: &[f32]| row.get(channel).map(|&value| fixed(value, decimals));
        let (token, sum) = (number(&self.token)?, number(&self.sum)?);
        Some(match &self.position {
            Some(position) => format!("channel {channel}: {token} + {} = {sum}", number(position)?),
            None => format!("channel {channel}: {sum}"),
        })
    }
}

/// The first panel.
#[component]
pub fn Rows(
    /// What all figures share.
    store: Store,
    /// The picked token.
    place: Memo<Option<Place>>,
) -> impl IntoView {
    let read = remote(store.client, move || {
        // Other weights have other rows, also of the same token.
        store.model.track();
        let place = place.get()?;
        Some(TokenRows { id: place.id, position: place.position? })
    });
    // None is the channel that stands out most in the sum.
    let locked = RwSignal::new(None::<usize>);
    let pointed = RwSignal::new(None::<usize>);
    let channel = memo(move || {
        let rows = read.get()?;
        let largest = || (0..rows.sum.len()).max_by(|&a, &b| rows.sum[a].abs().total_cmp(&rows.sum[b].abs()));
        locked.get().filter(|&channel| channel < rows.sum.len()).or_else(largest)
    });
    let channel = Signal::derive(move || channel.get().unwrap_or(0));
    let shown = move || pointed.get().unwrap_or(channel.get());
    let channels = move || read.get().map_or(0, |rows| rows.sum.len());
    let readout = move || {
        let rows = read.get()?;
        rows.at(shown().min(channels().saturating_sub(1)))
    };
    let picture = move |of: fn(&TokenRowsRead) -> Option<&[f32]>| {
        Signal::derive(move || {
            let Some(rows) = read.get() else { return Picture::default() };
            of(&rows).map_or_else(Picture::default, |row| bars(row, rows.limit(), store.dark.get()))
        })
    };
    let length = move |of: fn(&TokenRowsRead) -> Option<&[f32]>| {
        let rows = read.get()?;
        let length = of(&rows)?.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        Some(format!("length {}", three(length)))
    };
    let token: fn(&TokenRowsRead) -> Option<&[f32]> = |rows| Some(&rows.token);
    let position: fn(&TokenRowsRead) -> Option<&[f32]> = |rows| rows.position.as_deref();
    let sum: fn(&TokenRowsRead) -> Option<&[f32]> = |rows| Some(&rows.sum);

    let text = move || place.get().map(|place| named(store.model.get().as_ref(), place.id));
    let token_label = move || {
        let scale = read.get().map_or(1.0, |rows| rows.scale);
        let by = if scale == 1.0 { String::new() } else { format!(" × {}", three(scale.into())) };
        place.get().map(|place| format!("wte[{}]{by}", place.id))
    };
    let position_label = move || place.get()?.position.map(|position| format!("wpe[{position}]"));
    let has_position = memo(move || read.get().is_none_or(|rows| rows.position.is_some()));
    let no_position = move || {
        (!has_position.get()).then(|| {
            let bigram = store.model.get()?.config.architecture == inkling_core::Architecture::Bigram;
            Some(if bigram {
                "A bigram model does not know where a token stands: its row is all there is, and already the answer."
            } else {
                "This model adds no row for the position. It turns queries and keys by it instead, inside attention (rope), so the token’s row alone goes into the first block."
            })
        })
    };
    let cut = move || {
        let place = place.get()?;
        if place.position.is_some() {
            return None;
        }
        let context = store.model.get()?.config.n_positions;
        Some(format!("This token is cut off: the model reads the last {context} of the text. Pick a later one."))
    };
    let chip = Signal::derive(move || {
        let c = channels();
        if c == 0 {
            return String::new();
        }
        if has_position.get() {
            format!("wte[token] [{c}] + wpe[position] [{c}] = x [{c}]")
        } else {
            format!("x = wte[token] [{c}]")
        }
    });
    let strips = NodeRef::<Div>::new();
    let under = move |event: &web_sys::PointerEvent| -> Option<usize> {
        let bounds = strips.get_untracked()?.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - bounds.left()) / bounds.width();
        let channels = untrack(channels);
        (0.0..1.0).contains(&share).then(|| ((share * channels as f64) as usize).min(channels.saturating_sub(1)))
    };
    let on_key = move |event: web_sys::KeyboardEvent| {
        if event.key() == "Escape" {
            pointed.set(None);
            locked.set(None);
        } else if let Some(to) = slide(&event.key(), channel.get_untracked(), untrack(channels)) {
            event.prevent_default();
            pointed.set(None);
            locked.set(Some(to));
        }
    };
    let left = move || {
        let channels = channels().max(1) as f64;
        format!("{}%", (shown() as f64 + 0.5) / channels * 100.0)
    };
    let strip = move |class: &'static str, label: AnyView, of| {
        view! {
            <div class=class>
                <p class="embed-strip-label">{label} <span class="soft">{move || length(of)}</span></p>
                <Pixels picture=picture(of) class="embed-strip" />
            </div>
        }
        .into_any()
    };
    view! {
        <div class="panel embed-panel">
            <div class="embed-head">
                <h3>"A token and its place become one row"</h3>
                <Chip source=Source::Live shape=chip />
            </div>
            <TextTokens store=store place=place />
            <p class="sentence">{live(cut)}</p>
            <p class="sentence">{move || read.failure.get().map(|failure| failure.message)}</p>
            <div
                class="embed-strips"
                node_ref=strips
                id="embed-strips"
                role="slider"
                tabindex="0"
                aria-label="Channel"
                aria-valuemin="0"
                aria-valuemax=move || channels().saturating_sub(1).to_string()
                aria-valuenow=move || channel.get().to_string()
                aria-valuetext=move || read.get().and_then(|rows| rows.at(channel.get()))
                on:keydown=on_key
                on:pointermove=move |event| pointed.set(under(&event))
                on:pointerleave=move |_| pointed.set(None)
                on:pointerdown=move |event| if let Some(to) = under(&event) { locked.set(Some(to)) }
            >
                {strip("embed-row", view! { "token " <b class="mono">{live(text)}</b> " " <span class="mono soft">{live(token_label)}</span> }.into_any(), token)}
                <div class="embed-place" hidden=move || !has_position.get()>
                    {strip("embed-row", view! { "+ position " <b class="mono">{move || place.get().and_then(|place| place.position)}</b> " " <span class="mono soft">{live(position_label)}</span> }.into_any(), position)}
                </div>
                {strip("embed-row embed-sum", view! { "= what the first block is given" }.into_any(), sum)}
                <div class="embed-cursor" style:left=live(left)></div>
            </div>
            <p class="embed-readout mono" id="embed-channel">{live(readout)}</p>
            <p class="soft small">{live(no_position)}</p>
            <p class="small soft embed-readout">
                "Bars up, orange: above zero. Bars down, blue: below. On all three, full height is "
                {move || read.get().map(|rows| three(rows.limit().into()))} ". Each number is rounded on its own."
            </p>
        </div>
    }
}
