//! Attention against its definition, written naively in float64: which keys a query sees, and which heads share them.

use std::collections::BTreeSet;

use inkling_core::cpu::Pool;
use inkling_core::nn::attention::Probs;
use inkling_core::nn::{Graph, Recording};
use inkling_core::ops::attention::{Attention, AttentionBackward, AttentionProbs, Heads, Mask};
use inkling_core::ops::dropout::DropoutSite;
use inkling_core::ops::kv_cache::{DecodeAttention, FillCache, KvCache};
use inkling_core::program::{DType, Pass, Program, Tensor, Training};
use inkling_core::rng::{Site, Stream};
use inkling_core::step::Step;
use inkling_core::{Engine, ModelConfig, presets};

fn read(engine: &Engine, tensor: Tensor) -> Vec<f32> {
    pollster::block_on(engine.read(tensor)).unwrap()
}

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let stream = Stream::new(80, seed, Site(1000));
    (0..len as u32).map(|i| stream.normal(i)).collect()
}

/// Every way to share keys with every mask, at sizes around those of a block.
fn sizes() -> impl Iterator<Item = Heads> {
    let groups = [(1, 1), (2, 1), (4, 2), (6, 3), (3, 3)];
    let windows = [1, 2, 63, 64, 65, 1000].map(Mask::Window);
    let masks = [Mask::Causal, Mask::Open].into_iter().chain(windows);
    let contexts = [1, 2, 64, 65, 150];
    groups.into_iter().enumerate().flat_map(move |(i, (heads, kv_heads))| {
        let shape = move |context, mask| Heads { batch: 2, context, heads, kv_heads, head_dim: i + 3, mask };
        let masks = masks.clone();
        contexts.into_iter().flat_map(move |context| masks.clone().map(move |mask| shape(context, mask)))
    })
}

/// What the ops compute, all of one layer.
#[derive(Debug)]
struct Layer {
    out: Vec<f32>,
    lse: Vec<f32>,
    probs: Vec<f32>,
    dqkv: Vec<f32>,
}

fn attend(heads: Heads, qkv_values: &[f32], dout_values: &[f32]) -> Layer {
    let mut p = Program::new(Vec::new(), Training::No);
    let Heads { batch, context, .. } = heads;
    let [qkv, dqkv] = ["qkv", "dqkv"].map(|name| p.tensor(name, &[batch * context, heads.qkv_channels()]));
    let [out, dout] = ["out", "dout"].map(|name| p.tensor(name, &[batch * context, heads.channels()]));
    let lse = p.tensor("lse", &[batch, heads.heads, context]);
    let probs = p.tensor("probs", &[batch, heads.heads, context, context]);
    let dropout = DropoutSite::NONE;
    p.push(Pass::Forward, Attention { qkv, out, lse, heads, dropout });
    p.push(Pass::Forward, AttentionProbs { qkv, lse, probs, heads });
    p.push(Pass::Forward, AttentionBackward { dout, qkv, out, lse, dqkv, heads, dropout });
    let mut engine = Engine::cpu(p, Pool::new(2));
    // Everything is assigned.
    for output in [out, lse, probs, dqkv] {
        let len = engine.program().shape(output).iter().product();
        engine.write(output, &vec![f32::NAN; len]);
    }
    engine.write(qkv, qkv_values);
    engine.write(dout, dout_values);
    engine.replay(Pass::Forward, &Step::DEFAULT);
    let [out, lse, probs, dqkv] = [out, lse, probs, dqkv].map(|tensor| read(&engine, tensor));
    Layer { out, lse, probs, dqkv }
}

/// `(out, lse, probs)` by the definition.
fn reference(heads: Heads, qkv: &[f32]) -> [Vec<f64>; 3] {
    let Heads { batch, context: t, heads: nh, kv_heads: nkv, head_dim: d, mask } = heads;
    let at = |token: usize, head: usize, channel: usize| f64::from(qkv[(token * (nh + 2 * nkv) + head) * d + channel]);
    let (mut out, mut all_lse, mut probs) = (vec![0.0; batch * t * nh * d], vec![], vec![]);
    for (b, h, i) in (0..batch).flat_map(|b| (0..nh).flat_map(move |h| (0..t).map(move |i| (b, h, i)))) {
        let (query, kv_head) = (b * t + i, h / (nh / nkv));
        // transformers' sliding_window_causal_mask_function: kv_idx <= q_idx and kv_idx > q_idx - sliding_window.
        let sees = |j: usize| match mask {
            Mask::Open => true,
            Mask::Causal => j <= i,
            Mask::Window(window) => j <= i && j as i64 > i as i64 - window as i64,
        };
        let score =
            |j| (0..d).map(|c| at(query, h, c) * at(b * t + j, nh + kv_head, c)).sum::<f64>() / (d as f64).sqrt();
        let lse = (0..t).filter(|&j| sees(j)).map(|j| score(j).exp()).sum::<f64>().ln();
        for j in 0..t {
            let p = if sees(j) { (score(j) - lse).exp() } else { 0.0 };
            for c in 0..d {
                out[(query * nh + h) * d + c] += p * at(b * t + j, nh + nkv + kv_head, c);
            }
            probs.push(p);
        }
        all_lse.push(lse);
    }
    [out, all_lse, probs]
}

/// Sums of some hundred products of float32.
#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: impl IntoIterator<Item = f64>) {
    let expected: Vec<f64> = expected.into_iter().collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&f, &e)) in found.iter().zip(&expected).enumerate() {
        // Written so that NaN fails.
        assert!((f64::from(f) - e).abs() <= 3e-6 * e.abs().max(1.0), "{what}[{i}]: {f}, not {e}");
    }
}

fn inputs(heads: Heads) -> (Vec<f32>, Vec<f32>) {
    let rows = heads.batch * heads.context;
    (noise(rows * heads.qkv_channels(), 1), noise(rows * heads.channels(), 2))
}

#[test]
fn outputs_and_weights_are_those_of_the_definition() {
    for heads in sizes() {
        let (qkv, dout) = inputs(heads);
        let layer = attend(heads, &qkv, &dout);
        let [out, lse, probs] = reference(heads, &qkv);
        assert_close(&format!("out of {heads:?}"), &layer.out, out);
        assert_close(&format!("lse of {heads:?}"), &layer.lse, lse);
        for (i, (&found, &expected)) in layer.probs.iter().zip(&probs).enumerate() {
            assert_eq!(found == 0.0, expected == 0.0, "weight {i} of {heads:?}: {found}, not {expected}");
        }
        assert_close(&format!("probs of {heads:?}"), &layer.probs, probs);
    }
}

#[test]
fn shared_keys_are_copies_whose_gradients_are_added_up() {
    for heads in sizes() {
        let copied = Heads { kv_heads: heads.heads, ..heads };
        let (d, group) = (heads.head_dim, heads.heads / heads.kv_heads);
        let (qkv, dout) = inputs(heads);
        let source = |h: usize| match h.checked_sub(heads.heads) {
            None => h,
            Some(kv) => heads.heads + kv / group,
        };
        let row =
            |row: &[f32]| (0..3 * heads.heads).flat_map(|h| row[source(h) * d..][..d].to_vec()).collect::<Vec<_>>();
        let copies: Vec<f32> = qkv.chunks_exact(heads.qkv_channels()).flat_map(row).collect();
        let (shared, copied_layer) = (attend(heads, &qkv, &dout), attend(copied, &copies, &dout));
        assert_eq!(shared.out, copied_layer.out, "{heads:?}");
        assert_eq!(shared.lse, copied_layer.lse, "{heads:?}");
        assert_eq!(shared.probs, copied_layer.probs, "{heads:?}");
        let mut sums = vec![0.0; shared.dqkv.len()];
        let rows = copied_layer.dqkv.chunks_exact(copied.qkv_channels());
        for (sums, row) in sums.chunks_exact_mut(heads.qkv_channels()).zip(rows) {
            for (i, &x) in row.iter().enumerate() {
                sums[source(i / d) * d + i % d] += f64::from(x);
            }
        }
        assert_close(&format!("gradients of {heads:?}"), &shared.dqkv, sums);
    }
}

/// The tensors of a layer that decodes.
struct Decoder {
    engine: Engine,
    prompt: Tensor,
    token: Tensor,
    out: Tensor,
    cache: KvCache,
}

impl Decoder {
    fn new(heads: Heads) -> Self {
        let mut p = Program::new(Vec::new(), Training::No);
        let prompt = p.tensor("prompt", &[heads.context, heads.qkv_channels()]);
        let token = p.tensor("token", &[1, heads.qkv_channels()]);
        let out = p.tensor("out", &[1, heads.channels()]);
        let [key, value] = ["key", "value"].map(|name| p.tensor(name, &[heads.context, heads.kv_channels()]));
        let (cache, scores) = (KvCache { key, value }, p.tensor("scores", &[heads.heads, heads.context]));
        p.push(Pass::Prefill, FillCache { qkv: prompt, cache, heads });
        // A layer of one token does not know the cache's length.
        let heads = Heads { context: 1, ..heads };
        p.push(Pass::Decode, DecodeAttention { qkv: token, cache, out, scores, heads });
        let mut engine = Engine::cpu(p, Pool::new(2));
        for tensor in [key, value, scores] {
            let len = engine.program().shape(tensor).iter().product();
            engine.write(tensor, &vec![f32::NAN; len]);
        }
        Self { engine, prompt, token, out, cache }
    }
}

#[test]
fn decoding_gives_the_rows_of_the_forward_pass() {
    // Who decodes sees no later keys.
    for heads in sizes().filter(|heads| heads.mask != Mask::Open) {
        let heads = Heads { batch: 1, ..heads };
        let (qkv, dout) = inputs(heads);
        let expected = attend(heads, &qkv, &dout).out;
        // From nothing, and after a prompt.
        for prompt in BTreeSet::from([0, heads.context / 2]) {
            let mut decoder = Decoder::new(heads);
            if prompt > 0 {
                decoder.engine.write(decoder.prompt, &qkv);
                decoder.engine.replay(Pass::Prefill, &Step { position: prompt as u32 - 1, ..Step::DEFAULT });
            }
            for position in prompt..heads.context {
                decoder.engine.write(decoder.token, &qkv[position * heads.qkv_channels()..][..heads.qkv_channels()]);
                decoder.engine.replay(Pass::Decode, &Step { position: position as u32, ..Step::DEFAULT });
                let row = expected[position * heads.channels()..][..heads.channels()].iter().map(|&x| f64::from(x));
                assert_close(&format!("row {position} of {heads:?}"), &read(&decoder.engine, decoder.out), row);
            }
            let [key, value] = [decoder.cache.key, decoder.cache.value].map(|t| read(&decoder.engine, t));
            let (c, kv) = (heads.channels(), heads.kv_channels());
            for (i, row) in qkv.chunks_exact(heads.qkv_channels()).enumerate() {
                assert_eq!(key[i * kv..][..kv], row[c..c + kv], "key {i} of {heads:?}");
                assert_eq!(value[i * kv..][..kv], row[c + kv..], "value {i} of {heads:?}");
            }
        }
    }
}

#[test]
fn without_its_mask_a_model_sees_the_future() {
    let config = ModelConfig {
        n_layer: 2,
        n_embd: 16,
        n_head: 2,
        n_kv_head: 2,
        n_positions: 9,
        ..presets::find("micro").unwrap().model
    };
    let recording = Recording {
        batch: 1,
        context: 9,
        training: Training::No,
        probs: Probs::Keep,
        activations: DType::F32,
        recompute: false,
    };
    let run = |(program, graph): (Program, Graph), last: u32| {
        let mut engine = Engine::cpu(program, Pool::new(1));
        engine.initialize(7);
        engine.write_ids(graph.tokens, &[1, 2, 3, 4, 5, 6, 7, 8, last]);
        engine.replay(Pass::Forward, &Step::default());
        let probs = pollster::block_on(engine.read_named("h.1.attn.probs")).unwrap().data;
        (read(&engine, graph.logits.unwrap())[..config.vocab_size].to_vec(), probs)
    };
    let (masked, open) = (|| recording.record(&config).unwrap(), || recording.record_open(&config).unwrap());
    // What the first token predicts depends on the last one only where nothing hides it.
    assert_eq!(run(masked(), 0).0, run(masked(), 1).0);
    assert_ne!(run(open(), 0).0, run(open(), 1).0);
    let probs = run(open(), 0).1;
    assert!(probs.iter().all(|&p| p > 0.0));
    for row in probs.chunks_exact(9) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
    }
}
