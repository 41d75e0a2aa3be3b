use inkling_core::ops::dropout::DropoutSite;
use inkling_core::ops::embedding::{Embedding, EmbeddingBackward, Tables, sinusoids};
use inkling_core::program::{DType, Pass, Program, Training};
use inkling_core::rng::Site;
use inkling_core::step::{Mode, Step};

use crate::{Case, F16, F32, ids};

const DROPOUT: DropoutSite = DropoutSite { p: 0.3, site: Site::EMBEDDING_DROPOUT, first: 1_000_003 };

fn step(mode: Mode) -> Step {
    Step { mode, seed: 3 << 33 | 5, counter: 11, ..Step::default() }
}

/// Random ids with both ends of the vocabulary among them, and a token more frequent than the others.
fn tokens(rows: usize, vocab: usize) -> Vec<u32> {
    let mut ids = ids(rows, vocab as u32, 1);
    ids.iter_mut().skip(1).step_by(3).for_each(|id| *id = vocab as u32 / 2);
    ids[rows - 1] = vocab as u32 - 1;
    ids[rows / 2] = 0;
    ids
}

/// Batch, context, channels, vocabulary.
type Size = (usize, usize, usize, usize);

fn forward((batch, context, channels, vocab): Size, positions: bool, mode: Mode, dtype: DType) {
    let mut p = Program::new(vec![], Training::No);
    let rows = batch * context;
    let ids = p.tensor("tokens", &[rows]);
    let wte = p.tensor("wte", &[vocab, channels]);
    let wpe = p.tensor("wpe", &[context, channels]);
    let x = p.tensor_of(dtype, "x", &[rows, channels]);
    let tables = Tables { wte, wpe: positions.then_some(wpe) };
    p.push(Pass::Forward, Embedding { tokens: ids, tables, x, channels, scale: 1.0, context, dropout: DROPOUT });
    let name = format!("embedding {batch} x {context} x {channels}, {vocab} tokens, {mode:?} {dtype:?}");
    Case::new(name, p)
        .ids(ids, tokens(rows, vocab))
        .noise(wte)
        .noise(wpe)
        .output(x)
        .step(step(mode))
        .tolerance(if dtype == DType::F16 { F16 } else { F32 })
        .check();
}

#[test]
fn embedding() {
    for size in [(1, 2, 1, 1), (3, 5, 7, 2), (2, 33, 65, 65), (1, 100, 64, 50_257)] {
        for mode in [Mode::Train, Mode::Eval] {
            forward(size, true, mode, DType::F32);
            forward(size, true, mode, DType::F16);
            forward(size, false, mode, DType::F32);
        }
    }
    // More than 65,535 workgroups.
    forward((2, 1100, 8000, 3), true, Mode::Train, DType::F32);
}

#[test]
fn embedding_of_one_token_is_placed_by_the_step() {
    let mut p = Program::new(vec![], Training::No);
    let tokens = p.tensor("tokens", &[1]);
    let wte = p.tensor("wte", &[10, 300]);
    let wpe = p.tensor("wpe", &[9, 300]);
    let x = p.tensor("x", &[1, 300]);
    let tables = Tables { wte, wpe: Some(wpe) };
    p.push(Pass::Forward, Embedding { tokens, tables, x, channels: 300, scale: 1.0, context: 1, dropout: DROPOUT });
    let step = Step { position: 8, ..Step::default() };
    Case::new("embedding at position 8", p).ids(tokens, vec![9]).noise(wte).noise(wpe).output(x).step(step).check();
}

#[test]
fn embedding_times_a_factor_on_fixed_positions() {
    let (rows, channels, vocab, positions) = (10, 37, 11, 8);
    for dtype in [DType::F32, DType::F16] {
        let mut p = Program::new(vec![], Training::No);
        let tokens = p.tensor("tokens", &[rows]);
        let [wte, dwte] = ["wte", "dwte"].map(|name| p.tensor(name, &[vocab, channels]));
        // Of more positions than a sequence has.
        let wpe = p.constant("wpe", &[positions, channels], move || sinusoids(positions, channels));
        let [x, dx] = ["x", "dx"].map(|name| p.tensor_of(dtype, name, &[rows, channels]));
        let (scale, context) = (6.08, 5);
        let tables = Tables { wte, wpe: Some(wpe) };
        p.push(Pass::Forward, Embedding { tokens, tables, x, channels, scale, context, dropout: DROPOUT });
        let dtables = Tables { wte: dwte, wpe: None };
        p.push(Pass::Forward, EmbeddingBackward { tokens, dx, dtables, channels, scale, context, dropout: DROPOUT });
        Case::new(format!("embedding times {scale} {dtype:?}"), p)
            .ids(tokens, ids(rows, vocab as u32, 1))
            .noise(wte)
            .noise(dx)
            .noise(dwte)
            .output(x)
            .output(dwte)
            .step(step(Mode::Train))
            .tolerance(if dtype == DType::F16 { F16 } else { F32 })
            .check();
    }
}

fn backward((batch, context, channels, vocab): Size, positions: bool, mode: Mode, dtype: DType) {
    let mut p = Program::new(vec![], Training::No);
    let rows = batch * context;
    let ids = p.tensor("tokens", &[rows]);
    let dx = p.tensor_of(dtype, "dx", &[rows, channels]);
    let dwte = p.tensor("dwte", &[vocab, channels]);
    let dwpe = p.tensor("dwpe", &[context, channels]);
    let dtables = Tables { wte: dwte, wpe: positions.then_some(dwpe) };
    p.push(
        Pass::Forward,
        EmbeddingBackward { tokens: ids, dx, dtables, channels, scale: 1.0, context, dropout: DROPOUT },
    );
    let name = format!("embedding backward {batch} x {context} x {channels}, {vocab} tokens, {mode:?} {dtype:?}");
    Case::new(name, p)
        .ids(ids, tokens(rows, vocab))
        .noise(dx)
        .noise(dwte)
        .noise(dwpe)
        .output(dwte)
        .output(dwpe)
        .step(step(mode))
        .check();
}

#[test]
fn embedding_backward() {
    // A token's rows are a whole chunk of 32, one more, one less, many chunks (the more frequent token), or few (the large vocabulary).
    for size in [
        (1, 1, 1, 1),
        (1, 31, 3, 1),
        (2, 16, 5, 1),
        (3, 11, 64, 1),
        (5, 97, 65, 2),
        (2, 300, 7, 65),
        (1, 500, 9, 50_257),
    ] {
        for mode in [Mode::Train, Mode::Eval] {
            backward(size, true, mode, DType::F32);
            backward(size, true, mode, DType::F16);
            backward(size, false, mode, DType::F32);
        }
    }
}

#[test]
fn embedding_backward_of_wide_rows() {
    // More than 65,535 workgroups sum the positions. For the tokens it would take tensors larger than WebGPU promises, or a sort
    // of two million rows.
    backward((1, 70, 60_001, 2), true, Mode::Train, DType::F32);
}
