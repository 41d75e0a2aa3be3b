//! A stage as bars on a canvas, a column per key.

use std::sync::Arc;

use leptos::html::Canvas;
use leptos::prelude::*;
use web_sys::CanvasRenderingContext2d;

use super::paint::{Ink, hatch, ink, surface};
use super::row::Row;
use super::scale::Scale;
use super::state::State;
use crate::ui::color::{css, sequential, signed};
use crate::ui::reactive::effect;

/// The narrowest column in which a character can be read, in CSS pixels.
pub const COLUMN: f64 = 7.0;

/// What a strip shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// The tokens.
    Tokens,
    /// `q · k`.
    Scores,
    /// The same, scaled.
    Scaled,
    /// The same, where the query sees the key.
    Masked,
    /// After the softmax.
    Weights,
}

impl Plot {
    fn height(self) -> f64 {
        match self {
            Self::Tokens => 20.0,
            Self::Scores | Self::Scaled | Self::Masked => 76.0,
            Self::Weights => 104.0,
        }
    }
}

/// From values to heights: zero is always in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    least: f32,
    most: f32,
}

impl Axis {
    /// That of these values.
    pub fn of(values: &[f32]) -> Self {
        let fold = |pick: fn(f32, f32) -> f32| values.iter().copied().fold(0.0, pick);
        Self { least: fold(f32::min), most: fold(f32::max) }
    }

    /// The least and the largest value, or zero.
    pub fn ends(self) -> (f32, f32) {
        (self.least, self.most)
    }

    /// From 0 (top) to 1.
    fn place(self, value: f32) -> f64 {
        f64::from((self.most - value) / (self.most - self.least).max(f32::MIN_POSITIVE))
    }

    /// From -1 to 1.
    fn share(self, value: f32) -> f32 {
        value / self.most.max(-self.least).max(f32::MIN_POSITIVE)
    }
}

/// One stage.
#[component]
pub fn Strip(
    /// Of the figure.
    state: State,
    /// What to show.
    plot: Plot,
    /// Width of a column.
    column: Memo<f64>,
    /// The key that is marked.
    key: Memo<Option<usize>>,
) -> impl IntoView {
    let canvas = NodeRef::<Canvas>::new();
    effect(move || {
        let (Some(canvas), Some(row)) = (canvas.get(), state.row.get()) else { return };
        let (column, dark) = (column.get(), state.store.dark.get());
        let n = row.weights.len();
        let width = column * n as f64;
        let Some(context) = surface(&canvas, width, plot.height()) else { return };
        let pen = Pen { context, column, height: plot.height(), dark, ink: ink(dark), row, key: key.get() };
        pen.marks(plot);
        match plot {
            Plot::Tokens => {
                let glyphs: Vec<String> = (0..n).map(|at| state.glyph_at(at)).collect();
                pen.tokens(&glyphs);
            }
            Plot::Scores => pen.bars(&pen.row.scores, false),
            Plot::Scaled => pen.bars(&pen.row.scaled, false),
            Plot::Masked => pen.bars(&pen.row.scaled, true),
            Plot::Weights => pen.weights(state.scale.get()),
        }
    });
    let class = match plot {
        Plot::Tokens => "attn-strip attn-strip-tokens",
        Plot::Weights => "attn-strip attn-strip-weights",
        _ => "attn-strip",
    };
    view! { <canvas node_ref=canvas class=class aria-hidden="true"></canvas> }
}

struct Pen {
    context: CanvasRenderingContext2d,
    column: f64,
    height: f64,
    dark: bool,
    ink: Ink,
    row: Arc<Row>,
    key: Option<usize>,
}

impl Pen {
    fn rect(&self, x: f64, y: f64, width: f64, height: f64, color: &str) {
        self.context.set_fill_style_str(color);
        self.context.fill_rect(x, y, width, height);
    }

    /// Behind everything: the columns of key and query.
    fn marks(&self, plot: Plot) {
        if let Some(key) = self.key {
            self.rect(key as f64 * self.column, 0.0, self.column, self.height, self.ink.accent_soft);
        }
        if plot != Plot::Tokens {
            let x = (self.row.query as f64 + 0.5) * self.column - 0.5;
            self.context.set_global_alpha(0.5);
            self.rect(x, 0.0, 1.0, self.height, self.ink.query);
            self.context.set_global_alpha(1.0);
        }
    }

    fn tokens(&self, glyphs: &[String]) {
        let context = &self.context;
        let size = (self.column * 1.55).min(14.0);
        let mut font = size.to_string();
        font.push_str("px ui-monospace, 'SF Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace");
        let set_font = |bold: bool| context.set_font(&[if bold { "bold " } else { "" }, &font].concat());
        // Reading a font takes longer than writing a character with it.
        let mut is_bold = false;
        set_font(is_bold);
        context.set_text_align("center");
        context.set_text_baseline("middle");
        for (at, glyph) in glyphs.iter().enumerate() {
            let x = at as f64 * self.column;
            let is_query = at == self.row.query;
            if is_query {
                self.rect(x, 0.0, self.column, self.height, self.ink.query);
            }
            let color = match (is_query, self.key == Some(at), self.row.masked[at]) {
                (true, ..) => {
                    if self.dark {
                        "#14161b"
                    } else {
                        "#ffffff"
                    }
                }
                (_, true, _) => self.ink.accent,
                (_, _, true) => self.ink.soft,
                _ => self.ink.text,
            };
            let bold = is_query || self.key == Some(at);
            if bold != is_bold {
                set_font(bold);
                is_bold = bold;
            }
            context.set_fill_style_str(color);
            // Longer tokens show how they begin, as much as there is room for.
            let room = ((self.column / (size * 0.6)) as usize).max(1);
            let text: String = glyph.chars().take(room).collect();
            // Fails for a context that is gone.
            let _ = context.fill_text(&text, x + self.column / 2.0, self.height / 2.0 + 1.0);
        }
    }

    /// Of signed values; where `mask` is on, hatch in place of what the query does not see.
    fn bars(&self, values: &[f32], mask: bool) {
        let axis = Axis::of(values);
        let (top, room) = (2.0, self.height - 4.0);
        let zero = top + axis.place(0.0) * room;
        let gap = if self.column > 5.0 { 1.0 } else { 0.0 };
        for (at, &value) in values.iter().enumerate() {
            let x = at as f64 * self.column;
            if mask && self.row.masked[at] {
                hatch(&self.context, [x, 0.0, self.column, self.height], self.ink.hatch);
                continue;
            }
            let y = top + axis.place(value) * room;
            // The pale middle of the ramp would not be seen: a bar is not a cell.
            let share = axis.share(value);
            let color = css(signed(share.signum() * (0.4 + 0.6 * share.abs()), self.dark));
            self.rect(x + gap / 2.0, y.min(zero), self.column - gap, (y - zero).abs().max(1.0), &color);
        }
        self.rect(0.0, zero - 0.5, self.column * values.len() as f64, 1.0, self.ink.soft);
    }

    fn weights(&self, scale: Scale) {
        let (top, room) = (4.0, self.height - 5.0);
        let width = self.column * self.row.weights.len() as f64;
        for quarter in 0..4 {
            self.rect(0.0, top + f64::from(quarter) / 4.0 * room, width, 1.0, self.ink.line);
        }
        let (most, gap) = (self.row.most(), if self.column > 5.0 { 1.0 } else { 0.0 });
        for (at, &weight) in self.row.weights.iter().enumerate() {
            let x = at as f64 * self.column;
            if self.row.masked[at] {
                hatch(&self.context, [x, 0.0, self.column, self.height], self.ink.hatch);
                continue;
            }
            let share = scale.share(weight, self.row.query, most);
            let tall = (f64::from(share) * room).max(1.0);
            let color = css(sequential(0.25 + 0.75 * share, self.dark));
            self.rect(x + gap / 2.0, top + room - tall, self.column - gap, tall, &color);
        }
        self.rect(0.0, self.height - 1.0, width, 1.0, self.ink.soft);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_zero_in_it() {
        let axis = Axis::of(&[2.0, 4.0]);
        assert_eq!((axis.ends(), axis.place(4.0), axis.place(0.0), axis.share(2.0)), ((0.0, 4.0), 0.0, 1.0, 0.5));
        let axis = Axis::of(&[-3.0, 1.0]);
        assert_eq!((axis.place(1.0), axis.place(-3.0), axis.share(-3.0)), (0.0, 1.0, -1.0));
        assert!(Axis::of(&[0.0]).place(0.0).is_finite());
    }
}
