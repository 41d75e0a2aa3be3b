use inkling_core::ops::attention::{Heads, Mask};
use inkling_core::ops::kv_cache::{DecodeAttention, FillCache, KvCache, TakeRow};
use inkling_core::program::{DType, Pass, Program, Training};
use inkling_core::step::Step;

use crate::{Case, F16, F32, Tolerance, noise};

fn cache(p: &mut Program, dtype: DType, context: usize, channels: usize) -> KvCache {
    let key = p.tensor_of(dtype, "key", &[context, channels]);
    let value = p.tensor_of(dtype, "value", &[context, channels]);
    KvCache { key, value }
}

/// As many heads of keys as of queries.
fn heads(heads: usize, head_dim: usize) -> Heads {
    shared((heads, heads), head_dim, None)
}

fn shared((heads, kv_heads): (usize, usize), head_dim: usize, window: Option<usize>) -> Heads {
    Heads { batch: 1, context: 1, heads, kv_heads, head_dim, mask: Mask::causal(window) }
}

fn at(position: usize) -> Step {
    Step { position: position as u32, ..Step::default() }
}

const TYPES: [(DType, Tolerance); 2] = [(DType::F32, F32), (DType::F16, F16)];

#[test]
fn a_prompt_fills_the_cache_as_far_as_it_goes() {
    for (dtype, tolerance) in TYPES {
        for (context, heads, position) in [
            (1, heads(1, 1), 0),
            (5, heads(1, 3), 2),
            (9, heads(2, 65), 8),
            (300, heads(1, 64), 254),
            (9, shared((4, 2), 3, None), 5),
            (40, shared((6, 1), 9, Some(2)), 30),
        ] {
            let mut p = Program::new(vec![], Training::No);
            let qkv = p.tensor_of(dtype, "qkv", &[context, heads.qkv_channels()]);
            let cache = cache(&mut p, dtype, context, heads.kv_channels());
            p.push(Pass::Forward, FillCache { qkv, cache, heads });
            // The rest keeps what it holds.
            let before = vec![7.0; context * heads.kv_channels()];
            Case::new(format!("fill {context} of {heads:?}, {dtype:?}"), p)
                .noise(qkv)
                .input(cache.key, before.clone())
                .input(cache.value, before)
                .output(cache.key)
                .output(cache.value)
                .step(at(position))
                .tolerance(tolerance)
                .check();
        }
    }
}

#[test]
fn the_last_row_of_a_prompt_is_taken() {
    for (dtype, tolerance) in TYPES {
        for (context, channels, position) in [(1, 1, 0), (7, 255, 3), (4, 256, 3), (5, 257, 0)] {
            let mut p = Program::new(vec![], Training::No);
            let x = p.tensor_of(dtype, "x", &[context, channels]);
            let y = p.tensor_of(dtype, "y", &[1, channels]);
            p.push(Pass::Forward, TakeRow { x, y, channels });
            let name = format!("row {position} of {context} x {channels}, {dtype:?}");
            Case::new(name, p).noise(x).output(y).step(at(position)).tolerance(tolerance).check();
        }
    }
}

/// The rows before `position` that are seen from it; the others must never count.
fn poisoned(context: usize, heads: Heads, position: usize, dtype: DType, seed: u32) -> Vec<f32> {
    let channels = heads.kv_channels();
    let mut values = noise(context * channels, seed);
    if dtype == DType::F16 {
        values.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32());
    }
    values[..heads.visible(position).start * channels].fill(f32::NAN);
    values[position * channels..].fill(f32::NAN);
    values
}

#[test]
fn decoding_attends_to_the_past_and_to_itself() {
    for (dtype, tolerance) in TYPES {
        for (heads, context, positions) in [
            (heads(1, 1), 1, &[0][..]),
            (heads(2, 3), 40, &[0, 1, 39]),
            (heads(3, 8), 300, &[14, 15, 16, 299]),
            (heads(2, 16), 130, &[126, 127, 128]),
            (heads(4, 32), 600, &[254, 255, 256, 512]),
            (heads(1, 33), 50, &[20]),
            (heads(2, 64), 1100, &[1, 1023, 1024, 1099]),
            (heads(2, 80), 65, &[64]),
            (heads(3, 128), 70, &[69]),
            (heads(1, 257), 20, &[17]),
            (shared((1, 1), 8, Some(1)), 40, &[0, 20]),
            (shared((2, 1), 8, Some(2)), 40, &[0, 1, 2, 39]),
            (shared((4, 2), 16, Some(63)), 150, &[62, 63, 149]),
            (shared((6, 3), 5, Some(64)), 150, &[63, 64, 65, 130]),
            (shared((3, 3), 80, Some(65)), 100, &[64, 65, 99]),
            (shared((4, 1), 8, Some(128)), 300, &[127, 128, 129, 299]),
            (shared((6, 3), 8, Some(1000)), 140, &[0, 139]),
            (shared((8, 2), 33, None), 140, &[130]),
        ] {
            for &position in positions {
                let mut p = Program::new(vec![], Training::No);
                let qkv = p.tensor_of(dtype, "qkv", &[1, heads.qkv_channels()]);
                let out = p.tensor_of(dtype, "out", &[1, heads.channels()]);
                let cache = cache(&mut p, dtype, context, heads.kv_channels());
                let scores = p.tensor("scores", &[heads.heads, context]);
                p.push(Pass::Forward, DecodeAttention { qkv, cache, out, scores, heads });
                Case::new(format!("decode {heads:?}, T {context}, position {position}, {dtype:?}"), p)
                    .noise(qkv)
                    .input(cache.key, poisoned(context, heads, position, dtype, 10))
                    .input(cache.value, poisoned(context, heads, position, dtype, 11))
                    .input(scores, vec![f32::NAN; heads.heads * context])
                    .output(out)
                    .step(at(position))
                    .tolerance(tolerance)
                    .check();
            }
        }
    }
}

#[test]
fn decoding_appends_its_key_and_value() {
    let context = 6;
    for (dtype, tolerance) in TYPES {
        for heads in [heads(3, 5), shared((6, 2), 5, Some(2))] {
            for position in [0, 3, 5] {
                let mut p = Program::new(vec![], Training::No);
                let qkv = p.tensor_of(dtype, "qkv", &[1, heads.qkv_channels()]);
                let out = p.tensor_of(dtype, "out", &[1, heads.channels()]);
                let cache = cache(&mut p, dtype, context, heads.kv_channels());
                let scores = p.tensor("scores", &[heads.heads, context]);
                p.push(Pass::Forward, DecodeAttention { qkv, cache, out, scores, heads });
                Case::new(format!("append at {position} of {heads:?}, {dtype:?}"), p)
                    .noise(qkv)
                    .noise(cache.key)
                    .noise(cache.value)
                    .output(cache.key)
                    .output(cache.value)
                    .step(at(position))
                    .tolerance(tolerance)
                    .check();
            }
        }
    }
}
