use inkling_core::ops::attention::Heads;
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
    Heads { batch: 1, context: 1, heads, kv_heads: heads, head_dim, window: None }
}

fn at(position: usize) -> Step {
    Step { position: position as u32, ..Step::default() }
}

const TYPES: [(DType, Tolerance); 2] = [(DType::F32, F32), (DType::F16, F16)];

#[test]
fn a_prompt_fills_the_cache_as_far_as_it_goes() {
    for (dtype, tolerance) in TYPES {
        for (context, channels, position) in [(1, 1, 0), (5, 3, 2), (9, 130, 8), (300, 64, 254)] {
            let mut p = Program::new(vec![], Training::No);
            let qkv = p.tensor_of(dtype, "qkv", &[context, 3 * channels]);
            let cache = cache(&mut p, dtype, context, channels);
            p.push(Pass::Forward, FillCache { qkv, cache, heads: heads(1, channels) });
            // The rest keeps what it holds.
            Case::new(format!("fill {context} x {channels}, {dtype:?}"), p)
                .noise(qkv)
                .input(cache.key, vec![7.0; context * channels])
                .input(cache.value, vec![7.0; context * channels])
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

/// Rows up to `position`; what comes after must never count.
fn poisoned(context: usize, channels: usize, position: usize, dtype: DType, seed: u32) -> Vec<f32> {
    let mut values = noise(context * channels, seed);
    if dtype == DType::F16 {
        values.iter_mut().for_each(|x| *x = half::f16::from_f32(*x).to_f32());
    }
    values[position * channels..].fill(f32::NAN);
    values
}

#[test]
fn decoding_attends_to_the_past_and_to_itself() {
    for (dtype, tolerance) in TYPES {
        for (heads, d, context, positions) in [
            (1, 1, 1, &[0][..]),
            (2, 3, 40, &[0, 1, 39]),
            (3, 8, 300, &[14, 15, 16, 299]),
            (2, 16, 130, &[126, 127, 128]),
            (4, 32, 600, &[254, 255, 256, 512]),
            (1, 33, 50, &[20]),
            (2, 64, 1100, &[1, 1023, 1024, 1099]),
            (2, 80, 65, &[64]),
            (3, 128, 70, &[69]),
            (1, 257, 20, &[17]),
        ] {
            for &position in positions {
                let channels = heads * d;
                let mut p = Program::new(vec![], Training::No);
                let qkv = p.tensor_of(dtype, "qkv", &[1, 3 * channels]);
                let out = p.tensor_of(dtype, "out", &[1, channels]);
                let cache = cache(&mut p, dtype, context, channels);
                let scores = p.tensor("scores", &[heads, context]);
                p.push(Pass::Forward, DecodeAttention { qkv, cache, out, scores, heads: self::heads(heads, d) });
                let name = format!("decode NH {heads}, D {d}, T {context}, position {position}, {dtype:?}");
                Case::new(name, p)
                    .noise(qkv)
                    .input(cache.key, poisoned(context, channels, position, dtype, 10))
                    .input(cache.value, poisoned(context, channels, position, dtype, 11))
                    .input(scores, vec![f32::NAN; heads * context])
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
    for (dtype, tolerance) in TYPES {
        let (heads, channels, context) = (3, 15, 6);
        for position in [0, 3, 5] {
            let mut p = Program::new(vec![], Training::No);
            let qkv = p.tensor_of(dtype, "qkv", &[1, 3 * channels]);
            let out = p.tensor_of(dtype, "out", &[1, channels]);
            let cache = cache(&mut p, dtype, context, channels);
            let scores = p.tensor("scores", &[heads, context]);
            p.push(
                Pass::Forward,
                DecodeAttention { qkv, cache, out, scores, heads: self::heads(heads, channels / heads) },
            );
            Case::new(format!("append at {position}, {dtype:?}"), p)
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
