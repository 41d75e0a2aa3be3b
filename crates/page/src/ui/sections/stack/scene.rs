//! Where each part is drawn. One scale for all: a matrix is as high as the stream is wide (C) and as wide as its other side, so areas are in
//! proportion to numbers of weights, biases included. A table that is too long for a line is as wide as the line, and higher.
//!
//! The loaded model's matrix is outlined in the corner of each, on the same scale. What has no weights (attention proper, a tied head) is a sign. Norms, `2 C`, would be too thin to see: they have their
//! height and a least width.

use super::parts::{Id, Kind, Part};

/// Between the left edge and the matrices: the spine, and the norm in front of each branch.
const LEFT: f64 = 84.0;
/// The spine.
pub const SPINE: f64 = 26.0;
/// Between the last matrix and the right edge: a branch turns back there.
const RIGHT: f64 = 14.0;
/// Between two matrices.
const GAP: f64 = 12.0;
/// Between two matrices with attention proper in between.
const MIX_GAP: f64 = 40.0;
/// Above the first branch of a block: its name.
const ABOVE_BLOCK: f64 = 22.0;
/// Above any other branch.
const ABOVE: f64 = 6.0;
/// Below a branch: its way back, and the shapes.
const BELOW: f64 = 22.0;
/// A part can be hit and tapped in a square of this side at least.
const TARGET: f64 = 24.0;
/// The least width of what is drawn, and that of a norm.
const THIN: f64 = 3.0;
/// A tied head, which has no weights and so no area.
const BORROWED: (f64, f64) = (84.0, 26.0);
/// Blocks are drawn one by one up to so many.
pub const MOST_BLOCKS: usize = 6;

/// The height that a drawing of so many blocks is made for: rows have a least height, so it grows with them.
fn most_height(blocks: usize) -> f64 {
    f64::max(720.0, 160.0 + 140.0 * blocks as f64)
}

/// A rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Area {
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

/// A part's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// Whose.
    pub id: Id,
    /// Of which branch, from the top.
    pub row: usize,
    /// What is drawn: in proportion, unless `thin`.
    pub area: Area,
    /// What is hit.
    pub target: Area,
    /// The loaded model's, from the same corner.
    pub ghost: Option<(f64, f64)>,
    /// Drawn wider than it is.
    pub thin: bool,
}

/// A branch off the spine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Branch {
    /// The part that it ends in.
    pub last: Id,
    /// Where it leaves.
    pub y: f64,
    /// Where its end is.
    pub right: f64,
    /// Where it is added again; `None` for tables (which begin the stream) and the head (which ends it).
    pub back: Option<f64>,
    /// Top of what is drawn.
    pub top: f64,
}

/// A drawing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// Of the drawing.
    pub width: f64,
    /// Of the drawing.
    pub height: f64,
    /// Pixels per channel.
    pub scale: f64,
    /// Every part that is drawn.
    pub placed: Vec<Placed>,
    /// Every branch, from the top.
    pub branches: Vec<Branch>,
    /// Blocks that are not drawn.
    pub hidden_blocks: usize,
}

/// Sizes of a part: its weights by channels of the stream, and these.
#[derive(Clone, Copy)]
struct Sides {
    units: f64,
    channels: f64,
}

impl Sides {
    fn of(part: &Part, channels: usize) -> Self {
        Self { units: part.count as f64 / channels as f64, channels: channels as f64 }
    }

    /// On a line of that length.
    fn on(self, scale: f64, line: f64) -> (f64, f64) {
        let width = (self.units * scale).min(line);
        (width, if width > 0.0 { self.units * self.channels * scale * scale / width } else { 0.0 })
    }
}

/// Two models side by side, for a drawing of some width.
pub struct Layout<'a> {
    /// What is drawn.
    pub parts: &'a [Part],
    /// `C`.
    pub channels: usize,
    /// What it is compared with, if it is another one.
    pub loaded: Option<(&'a [Part], usize)>,
    /// Of the drawing.
    pub width: f64,
    /// Whether all blocks are drawn, however many.
    pub expanded: bool,
}

impl Layout<'_> {
    /// The drawing.
    pub fn scene(&self) -> Scene {
        let blocks = self.parts.iter().filter(|part| part.id.kind == Kind::Qkv).count();
        let first_only = blocks > MOST_BLOCKS;
        // The scale is that of the folded drawing: unfolding adds blocks and changes nothing else.
        let most = most_height(if first_only { 1 } else { blocks });
        let (mut low, mut high) = (1e-7, 2.0);
        for _ in 0..50 {
            let middle = f64::sqrt(low * high);
            match self.at(middle, first_only).filter(|scene| scene.height <= most) {
                Some(_) => low = middle,
                None => high = middle,
            }
        }
        let mut scene = self.at(low, first_only && !self.expanded).unwrap_or_default();
        scene.hidden_blocks = if first_only && !self.expanded { blocks - 1 } else { 0 };
        scene
    }

    /// The drawing on a scale; `None` where a branch is too long for it.
    fn at(&self, scale: f64, first_only: bool) -> Option<Scene> {
        let line = self.width - LEFT - RIGHT;
        let mut scene = Scene { width: self.width, scale, ..Scene::default() };
        let mut row: Vec<Placed> = Vec::new();
        let (mut x, mut y) = (LEFT, 4.0);
        let drawn: Vec<&Part> = self.parts.iter().filter(|part| !first_only || part.id.layer == 0).collect();
        for (i, part) in drawn.iter().enumerate() {
            let Placed { area, ghost, thin, .. } = self.place(part, scale, line);
            let is_norm = matches!(part.id.kind, Kind::Norm1 | Kind::Norm2 | Kind::FinalNorm);
            // A table that does not fit beside the other one has a line of its own.
            let wraps = part.id.kind == Kind::Positions && x + area.w > self.width - RIGHT;
            if is_norm || wraps {
                y = scene.end_row(&mut row, y, wraps);
                y += if part.id.kind == Kind::Norm1 { ABOVE_BLOCK } else { ABOVE };
                x = LEFT;
            }
            let slot = f64::max(area.w, ghost.map_or(0.0, |(w, _)| w));
            if !is_norm && part.id.kind != Kind::Mix && x + slot > self.width - RIGHT + 1e-6 {
                return None;
            }
            let left = match part.id.kind {
                _ if is_norm => (SPINE + LEFT) / 2.0 - area.w / 2.0 + 4.0,
                Kind::Mix => x - GAP + (MIX_GAP - TARGET) / 2.0,
                _ => x,
            };
            let row_index = scene.branches.len();
            row.push(Placed {
                area: Area { x: left, y, ..area },
                row: row_index,
                id: part.id,
                ghost,
                thin,
                target: area,
            });
            x += match part.id.kind {
                Kind::Mix => MIX_GAP - GAP,
                _ if is_norm => 0.0,
                _ => slot + GAP,
            };
            if i + 1 == drawn.len() {
                y = scene.end_row(&mut row, y, true);
            }
        }
        scene.height = y;
        Some(scene)
    }

    fn place(&self, part: &Part, scale: f64, line: f64) -> Placed {
        let mut area = Area::default();
        let (mut ghost, mut thin) = (None, false);
        let borrowed = part.id.kind == Kind::Head && part.tensors.iter().all(|(name, _)| name != "lm_head.weight");
        if part.id.kind == Kind::Mix {
            (area.w, area.h) = (TARGET, TARGET);
        } else if borrowed {
            (area.w, area.h) = BORROWED;
        } else {
            (area.w, area.h) = Sides::of(part, self.channels).on(scale, line);
            if let Some((parts, channels)) = self.loaded
                && let Some(other) = parts.iter().find(|other| other.id == part.id && other.count > 0)
            {
                ghost = Some(Sides::of(other, channels).on(scale, line));
            }
            if area.w < THIN {
                (area.w, thin) = (THIN, true);
                ghost = None;
            }
        }
        Placed { id: part.id, row: 0, area, target: area, ghost, thin }
    }
}

impl Scene {
    /// Ends a row that begins at `y`: everything in it is centred on one line. Returns where the next one begins.
    fn end_row(&mut self, row: &mut Vec<Placed>, y: f64, ends: bool) -> f64 {
        let Some(last) = row.last().map(|placed| placed.id) else { return y };
        let height = |placed: &Placed| f64::max(placed.area.h, placed.ghost.map_or(0.0, |(_, h)| h)).max(TARGET);
        let tallest = row.iter().map(height).fold(0.0, f64::max);
        let middle = y + tallest / 2.0;
        let mut right: f64 = 0.0;
        for placed in row.iter_mut() {
            let own = f64::max(placed.area.h, placed.ghost.map_or(0.0, |(_, h)| h));
            placed.area.y = middle - own / 2.0;
            let Area { x, w, .. } = placed.area;
            let (tw, th) = (w.max(TARGET), own.max(TARGET));
            placed.target = Area { x: x + w / 2.0 - tw / 2.0, y: middle - th / 2.0, w: tw, h: th };
            right = right.max(x + f64::max(w, placed.ghost.map_or(0.0, |(w, _)| w)));
        }
        self.placed.append(row);
        let begins_or_ends = ends || matches!(last.kind, Kind::Tokens | Kind::Positions | Kind::Head);
        let back = (!begins_or_ends).then_some(y + tallest + 8.0);
        self.branches.push(Branch { last, y: middle, right, back, top: y });
        y + tallest + BELOW
    }

    /// Where a part is drawn.
    pub fn find(&self, id: Id) -> Option<&Placed> {
        self.placed.iter().find(|placed| placed.id == id)
    }

    /// The part that an arrow key leads to.
    pub fn towards(&self, id: Id, key: &str) -> Option<Id> {
        let at = self.placed.iter().position(|placed| placed.id == id)?;
        let here = self.placed[at];
        let in_row = |row: usize| {
            let centre =
                |placed: &&Placed| (placed.area.x + placed.area.w / 2.0 - here.area.x - here.area.w / 2.0).abs();
            let row = self.placed.iter().filter(|placed| placed.row == row);
            row.min_by(|a, b| centre(a).total_cmp(&centre(b)))
        };
        let to = match key {
            "ArrowRight" => self.placed.get(at + 1),
            "ArrowLeft" => at.checked_sub(1).and_then(|at| self.placed.get(at)),
            "ArrowDown" => in_row(here.row + 1),
            "ArrowUp" => here.row.checked_sub(1).and_then(in_row),
            "Home" => self.placed.first(),
            "End" => self.placed.last(),
            _ => None,
        };
        to.map(|placed| placed.id)
    }
}

#[cfg(test)]
mod tests {
    use inkling_core::{ModelConfig, presets};

    use super::super::parts::parts;
    use super::*;

    fn scene(config: &ModelConfig, loaded: Option<&ModelConfig>, width: f64, expanded: bool) -> Scene {
        let (parts_here, parts_there) = (parts(config), loaded.map(parts));
        let loaded = parts_there.as_deref().zip(loaded.map(|loaded| loaded.n_embd));
        Layout { parts: &parts_here, channels: config.n_embd, loaded, width, expanded }.scene()
    }

    #[test]
    fn areas_are_in_proportion_to_parameters() {
        for preset in presets::all() {
            for width in [280.0, 560.0, 700.0] {
                let scene = scene(&preset.model, None, width, false);
                let parts = parts(&preset.model);
                let pixels = scene.scale * scene.scale;
                for placed in scene.placed.iter().filter(|placed| !placed.thin) {
                    let part = parts.iter().find(|part| part.id == placed.id).unwrap();
                    let (area, count) = (placed.area.w * placed.area.h / pixels, part.count as f64);
                    let is_tied = preset.model.tie_word_embeddings && placed.id.kind == Kind::Head;
                    let is_borrowed = is_tied || count == 0.0 && placed.id.kind == Kind::Mix;
                    assert!(is_borrowed || (area - count).abs() < 1e-6 * count, "{}: {:?}", preset.name, placed.id);
                }
            }
        }
    }

    #[test]
    fn everything_is_inside_and_can_be_hit() {
        let gpt2 = presets::find("gpt2").unwrap().model;
        let loaded = ModelConfig::default();
        for preset in presets::all() {
            let blocks = preset.model.n_layer;
            let most = most_height(if blocks > MOST_BLOCKS { 1 } else { blocks });
            for (width, expanded) in [(280.0, false), (560.0, false), (560.0, true)] {
                for loaded in [None, Some(&loaded), Some(&gpt2)] {
                    let scene = scene(&preset.model, loaded, width, expanded);
                    assert!(scene.scale > 1e-6, "{} at {width}", preset.name);
                    for placed in &scene.placed {
                        let Area { x, y, w, h } = placed.target;
                        assert!(x >= 0.0 && y >= 0.0 && x + w <= width && y + h <= scene.height, "{placed:?}");
                        assert!(w >= TARGET && h >= TARGET);
                    }
                    assert!(expanded || scene.height <= most);
                }
            }
        }
    }

    #[test]
    fn many_blocks_are_folded_and_unfold_at_the_same_scale() {
        let gpt2 = presets::find("gpt2").unwrap().model;
        let (folded, unfolded) = (scene(&gpt2, None, 560.0, false), scene(&gpt2, None, 560.0, true));
        assert_eq!((folded.hidden_blocks, unfolded.hidden_blocks), (11, 0));
        assert_eq!(folded.scale, unfolded.scale);
        assert_eq!(unfolded.placed.len() - folded.placed.len(), 11 * 7);
    }

    #[test]
    fn arrows_reach_every_part() {
        let scene = scene(&ModelConfig::default(), None, 560.0, false);
        let mut at = scene.placed[0].id;
        for placed in &scene.placed[1..] {
            at = scene.towards(at, "ArrowRight").unwrap();
            assert_eq!(at, placed.id);
        }
        assert_eq!(scene.towards(at, "ArrowRight"), None);
        assert_eq!(scene.towards(at, "Home"), Some(scene.placed[0].id));
        let down = scene.towards(scene.placed[0].id, "ArrowDown").unwrap();
        assert_eq!(scene.find(down).unwrap().row, 1);
    }
}
