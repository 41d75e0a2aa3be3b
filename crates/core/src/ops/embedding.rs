//! Token and position embedding: `x[b,t] = scale · wte[token[b,t]] + wpe[t]`, then dropout. The table of positions is a parameter or fixed
//! ([`sinusoids`]); a bigram's logits are the same without positions.

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::dropout::{DropoutSite, drop_slice};
use crate::ops::elementwise::{add, add_scaled, scaled};
use crate::program::{Op, Tensor};
use crate::rng::Dropout;
use crate::step::Step;

/// Where the rows of the sum come from.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Token table, `[V, C]`.
    pub wte: Tensor,
    /// Position table, of at least `T` positions, `[positions, C]`; of gradients `None` where positions are fixed.
    pub wpe: Option<Tensor>,
}

/// `x[m] = scale · wte[token[m]] + wpe[position + m mod T]`.
#[derive(Debug)]
pub struct Embedding {
    /// Ids, `[M]`.
    pub tokens: Tensor,
    /// The tables.
    pub tables: Tables,
    /// The sum, `[M, C]`, assigned.
    pub x: Tensor,
    /// `C`.
    pub channels: usize,
    /// Factor on the token's row.
    pub scale: f32,
    /// `T` of this pass: row `m` is position `m mod T`, plus the step's position when decoding.
    pub context: usize,
    /// Applied to the sum.
    pub dropout: DropoutSite,
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let wpe = self.tables.wpe.map(|t| mem.read(t));
        // Only a program of one token per replay is placed by the step.
        let start = if self.context == 1 { step.position as usize } else { 0 };
        forward(
            &mem.pool,
            &mem.read_ids(self.tokens),
            &mem.read(self.tables.wte),
            wpe.as_deref(),
            &mut mem.write(self.x),
            Layout { channels: self.channels, scale: self.scale, context: self.context, start },
            self.dropout.mask(step),
        );
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let (rows, len) = (kernels.len(self.tokens), kernels.len(self.x));
        let dispatch = Dispatch::new(shader::EMBEDDING, "forward")
            .constant("HAS_POSITIONS", self.tables.wpe.is_some())
            .bind("tokens", self.tokens)
            .bind("wte", self.tables.wte)
            .bind("wpe", self.tables.wpe)
            .assign("x", self.x);
        let dispatch = sizes(dispatch, rows, self.channels, self.context, self.dropout);
        let dispatch = dispatch.param("token_scale", self.scale);
        kernels.push(dispatch.linear(len.div_ceil(shader::EMBEDDING.constant("WORKGROUP"))));
    }
}

/// The parameters that all entry points of the shader share.
fn sizes(dispatch: Dispatch, rows: usize, channels: usize, context: usize, dropout: DropoutSite) -> Dispatch {
    dropout.params(dispatch.param("rows", rows).param("channels", channels).param("context", context))
}

/// How rows are made of the tables'.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// `C`.
    pub channels: usize,
    /// Factor on the token's row.
    pub scale: f32,
    /// Positions per sequence.
    pub context: usize,
    /// Position of the first.
    pub start: usize,
}

/// See [`Embedding`].
pub fn forward(
    pool: &Pool,
    tokens: &[u32],
    wte: &[f32],
    wpe: Option<&[f32]>,
    x: &mut [f32],
    layout: Layout,
    dropout: Option<Dropout>,
) {
    let c = layout.channels;
    pool.rows([(x, c)], pool.share(tokens.len(), 4).max(16), |rows, [x]| {
        for (m, x) in rows.zip(x.chunks_exact_mut(c)) {
            let token = tokens[m] as usize;
            scaled(x, layout.scale, &wte[token * c..][..c]);
            if let Some(wpe) = wpe {
                add(x, &wpe[(layout.start + m % layout.context) * c..][..c]);
            }
            if let Some(dropout) = dropout {
                drop_slice(dropout, (m * c) as u32, x);
            }
        }
    });
}

/// `dwte[token[m]] += scale · dx[m]`, `dwpe[m mod T] += dx[m]`, `dx` seen through the dropout.
#[derive(Debug)]
pub struct EmbeddingBackward {
    /// Ids, `[M]`.
    pub tokens: Tensor,
    /// Gradient of the sum, `[M, C]`; unspecified afterwards.
    pub dx: Tensor,
    /// Gradients of the tables, accumulated.
    pub dtables: Tables,
    /// `C`.
    pub channels: usize,
    /// As in the forward pass.
    pub scale: f32,
    /// `T`.
    pub context: usize,
    /// As in the forward pass.
    pub dropout: DropoutSite,
}

impl Op for EmbeddingBackward {
    fn name(&self) -> &'static str {
        "embedding backward"
    }

    fn cpu(&self, mem: &Memory, step: &Step) {
        let mut dx = mem.write(self.dx);
        if let Some(dropout) = self.dropout.mask(step) {
            drop_slice(dropout, 0, &mut dx);
        }
        let tokens = mem.read_ids(self.tokens);
        // On one thread: two additions per element are a thousandth of a step, and the order of the sums stays that of the rows.
        scatter(&dx, &mut mem.write(self.dtables.wte), self.channels, self.scale, |m| tokens[m] as usize);
        if let Some(dwpe) = self.dtables.wpe {
            scatter(&dx, &mut mem.write(dwpe), self.channels, 1.0, |m| m % self.context);
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Self { tokens, dx, dtables, channels, scale, context, dropout } = *self;
        let shader = shader::EMBEDDING;
        let [sort_rows, lanes, chunk] = ["SORT_ROWS", "LANES", "CHUNK"].map(|name| shader.constant(name));
        let rows = kernels.len(tokens);
        let chunks = rows.div_ceil(chunk);
        let sorted = kernels.scratch(2 * rows);
        let carried = kernels.scratch(chunks * channels);
        let entry = |name| sizes(Dispatch::new(shader, name), rows, channels, context, dropout);
        kernels.push(entry("sort").bind("tokens", tokens).assign("sorted", sorted).linear(rows.div_ceil(sort_rows)));
        let groups = chunks * channels.div_ceil(lanes);
        let sums = |name| entry(name).param("token_scale", scale).bind("sorted", sorted).bind("dwte", dtables.wte);
        kernels.push(sums("sum_chunks").assign("carried", carried).bind("dx", dx).linear(groups));
        kernels.push(sums("add_carried").bind("carried", carried).linear(groups));
        if let Some(dwpe) = dtables.wpe {
            let groups = (context * channels).div_ceil(lanes);
            kernels.push(entry("positions").bind("dx", dx).bind("dwpe", dwpe).linear(groups));
        }
    }
}

/// `table[row(m)] += scale · dx[m]`.
fn scatter(dx: &[f32], table: &mut [f32], channels: usize, scale: f32, row: impl Fn(usize) -> usize) {
    for (m, dx) in dx.chunks_exact(channels).enumerate() {
        add_scaled(&mut table[row(m) * channels..][..channels], scale, dx);
    }
}

/// Fixed positions, `[positions, C]` (Vaswani et al. 2017, 3.5): channel `2i` is `sin(position / 10000^(2i/C))`, channel `2i + 1` the cosine.
/// In float64: in float32 an angle of 100,000 is only known to 0.008.
pub fn sinusoids(positions: usize, channels: usize) -> Vec<f32> {
    let pairs = channels.div_ceil(2);
    let frequencies: Vec<f64> = (0..pairs).map(|i| libm::pow(10_000.0, -2.0 * i as f64 / channels as f64)).collect();
    let mut table = vec![0.0; positions * channels];
    for (position, row) in table.chunks_exact_mut(channels).enumerate() {
        for (pair, frequency) in row.chunks_mut(2).zip(&frequencies) {
            let (sin, cos) = libm::sincos(position as f64 * frequency);
            // The last of an odd number of channels has no cosine.
            pair.iter_mut().zip([sin, cos]).for_each(|(value, exact)| *value = exact as f32);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinusoids_are_the_papers() {
        for channels in [1, 2, 5, 8, 33] {
            let table = sinusoids(100_001, channels);
            for position in [0, 1, 2, 4095, 100_000] {
                for (c, &found) in table[position * channels..][..channels].iter().enumerate() {
                    let angle = position as f64 / 10_000f64.powf((c / 2 * 2) as f64 / channels as f64);
                    let want = if c % 2 == 0 { angle.sin() } else { angle.cos() };
                    assert!(
                        (f64::from(found) - want).abs() < 1e-7,
                        "position {position}, channel {c}: {found}, {want}"
                    );
                }
            }
        }
        // sin 0, cos 0, …; sin 1, cos 1, sin 1/100, cos 1/100; of 100,000 radians, to more digits than float32 angles have.
        assert_eq!(sinusoids(2, 4)[..4], [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(sinusoids(2, 4)[4..], [0.841_470_96, 0.540_302_3, 0.009_999_833, 0.999_95]);
        assert_eq!(sinusoids(100_001, 2)[200_000..], [0.035_748_8, -0.999_360_8]);
        assert!(sinusoids(0, 3).is_empty());
    }
}
