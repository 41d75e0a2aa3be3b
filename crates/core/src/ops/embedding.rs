//! Token and position embedding: `x[b,t] = wte[token[b,t]] + wpe[t]`, then dropout. A bigram's logits are the same without positions.

use crate::cpu::Pool;
use crate::gpu::{Dispatch, Kernels, shader};
use crate::memory::Memory;
use crate::ops::dropout::{DropoutSite, drop_slice};
use crate::ops::elementwise::add;
use crate::program::{Op, Tensor};
use crate::rng::Dropout;
use crate::step::Step;

/// Where the rows of the sum come from.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Token table, `[V, C]`.
    pub wte: Tensor,
    /// Position table, `[T, C]`.
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
            Layout { channels: self.channels, context: self.context, start },
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
        kernels.push(dispatch.linear(len.div_ceil(shader::EMBEDDING.constant("WORKGROUP"))));
    }
}

/// The parameters that all entry points of the shader share.
fn sizes(dispatch: Dispatch, rows: usize, channels: usize, context: usize, dropout: DropoutSite) -> Dispatch {
    dropout.params(dispatch.param("rows", rows).param("channels", channels).param("context", context))
}

/// How rows map to positions.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// `C`.
    pub channels: usize,
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
            x.copy_from_slice(&wte[token * c..][..c]);
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
        scatter(&dx, &mut mem.write(self.dtables.wte), self.channels, |m| tokens[m] as usize);
        if let Some(dwpe) = self.dtables.wpe {
            scatter(&dx, &mut mem.write(dwpe), self.channels, |m| m % self.context);
        }
    }

    fn gpu(&self, kernels: &mut Kernels<'_>) {
        let Self { tokens, dx, dtables, channels, context, dropout, scale: _ } = *self;
        let shader = shader::EMBEDDING;
        let [sort_rows, lanes, chunk] = ["SORT_ROWS", "LANES", "CHUNK"].map(|name| shader.constant(name));
        let rows = kernels.len(tokens);
        let chunks = rows.div_ceil(chunk);
        let sorted = kernels.scratch(2 * rows);
        let carried = kernels.scratch(chunks * channels);
        let entry = |name| sizes(Dispatch::new(shader, name), rows, channels, context, dropout);
        kernels.push(entry("sort").bind("tokens", tokens).assign("sorted", sorted).linear(rows.div_ceil(sort_rows)));
        let groups = chunks * channels.div_ceil(lanes);
        let sums = |name| entry(name).bind("sorted", sorted).bind("dwte", dtables.wte);
        kernels.push(sums("sum_chunks").assign("carried", carried).bind("dx", dx).linear(groups));
        kernels.push(sums("add_carried").bind("carried", carried).linear(groups));
        if let Some(dwpe) = dtables.wpe {
            let groups = (context * channels).div_ceil(lanes);
            kernels.push(entry("positions").bind("dx", dx).bind("dwpe", dwpe).linear(groups));
        }
    }
}

/// `table[row(m)] += dx[m]`.
pub fn scatter(dx: &[f32], table: &mut [f32], channels: usize, row: impl Fn(usize) -> usize) {
    for (m, dx) in dx.chunks_exact(channels).enumerate() {
        add(&mut table[row(m) * channels..][..channels], dx);
    }
}

/// Fixed positions, `[positions, C]` (Vaswani et al. 2017, 3.5): channel `2i` is `sin(position / 10000^(2i/C))`, channel `2i + 1` the cosine.
pub fn sinusoids(positions: usize, channels: usize) -> Vec<f32> {
    let value = |position: usize, channel: usize| {
        let angle = position as f64 * libm::pow(10_000.0, -((channel - channel % 2) as f64) / channels as f64);
        (if channel.is_multiple_of(2) { libm::sin(angle) } else { libm::cos(angle) }) as f32
    };
    (0..positions).flat_map(|position| (0..channels).map(move |channel| value(position, channel))).collect()
}
