//! Draws are compared token by token. The engines' scores differ by rounding (float64 against float32): of a million draws one or two may
//! be decided by that, none of the tens of thousands here.

use inkling_core::Engine;
use inkling_core::cpu::Pool;
use inkling_core::ops::sample::{NO_TOKEN, Sample};
use inkling_core::program::{Pass, Program, Tensor, Training};
use inkling_core::sample::SamplerConfig;
use inkling_core::step::Step;

use crate::{device, noise, wait};

/// The op on both engines.
struct Twins {
    engines: [Engine; 2],
    logits: Tensor,
    token: Tensor,
    text: Tensor,
    draws: usize,
}

impl Twins {
    /// Of a vocabulary, with room for a text of so many draws. `None` where there is no GPU.
    fn new(vocab: usize, draws: usize) -> Option<Self> {
        let device = device()?;
        let record = || {
            let mut p = Program::new(vec![], Training::No);
            let [logits, token, text] = [("logits", &[1, vocab][..]), ("token", &[1]), ("text", &[draws])]
                .map(|(name, shape)| p.tensor(name, shape));
            p.push(Pass::Sample, Sample::new(logits, token, text));
            (p, logits, token, text)
        };
        let gpu = wait(Engine::gpu(record().0, &device)).unwrap();
        let (p, logits, token, text) = record();
        Some(Self { engines: [Engine::cpu(p, Pool::new(1)), gpu], logits, token, text, draws })
    }

    /// The text that both engines draw, one token after the other, from these logits.
    fn draw(&mut self, logits: &[f32], settings: &SamplerConfig) -> Vec<u32> {
        let [cpu, gpu] = self.engines.each_mut().map(|engine| {
            engine.write(self.logits, logits);
            engine.write_ids(self.token, &[77_777]);
            engine.write_ids(self.text, &vec![88_888; self.draws]);
            for slot in 0..self.draws as u32 {
                engine.replay(Pass::Sample, &Step { slot, ..settings.step(1000 + slot) });
            }
            let text = wait(engine.read_ids(self.text)).unwrap();
            let last = if text[self.draws - 1] == NO_TOKEN { 0 } else { text[self.draws - 1] };
            assert_eq!(wait(engine.read_ids(self.token)).unwrap(), [last], "{engine:?}: the next step's input");
            text
        });
        let differing: Vec<_> = (0..).zip(cpu.iter().zip(&gpu)).filter(|(_, (cpu, gpu))| cpu != gpu).collect();
        let vocab = logits.len();
        assert!(differing.is_empty(), "{vocab} tokens, {settings:?}: (slot, (CPU, GPU)): {differing:?}");
        gpu
    }
}

fn spread(vocab: usize, deviation: f32) -> Vec<f32> {
    noise(vocab, vocab as u32).iter().map(|x| deviation * x - 40.0).collect()
}

fn plain(temperature: f32) -> SamplerConfig {
    SamplerConfig { temperature, seed: 1 << 40 | 7, ..SamplerConfig::default() }
}

#[test]
fn every_setting_draws_what_the_cpu_draws() {
    for vocab in [1, 2, 65, 255, 256, 257] {
        let Some(mut twins) = Twins::new(vocab, 10) else { return };
        let logits = spread(vocab, 3.0);
        for temperature in [0.0, f32::MIN_POSITIVE, 0.3, 1.0, 5.0, 1e30] {
            for top_k in [None, Some(1), Some(7), Some(256), Some(60_000)] {
                for top_p in [None, Some(1e-40), Some(0.35), Some(0.9), Some(0.999_999)] {
                    twins.draw(&logits, &SamplerConfig { top_k, top_p, ..plain(temperature) });
                }
            }
        }
    }
}

#[test]
fn a_large_vocabulary_draws_what_the_cpu_draws() {
    let vocab = 50_257;
    let Some(mut twins) = Twins::new(vocab, 20) else { return };
    for settings in [
        plain(0.0),
        plain(1.0),
        SamplerConfig { top_k: Some(40), ..plain(0.8) },
        SamplerConfig { top_p: Some(0.9), ..plain(1.0) },
        SamplerConfig { top_k: Some(20_000), top_p: Some(0.95), ..plain(2.0) },
    ] {
        twins.draw(&spread(vocab, 2.0), &settings);
    }
}

#[test]
fn tens_of_thousands_of_draws_are_the_cpus() {
    let vocab = 65;
    let Some(mut twins) = Twins::new(vocab, 10_000) else { return };
    for (deviation, settings) in [
        (0.1, plain(1.0)),
        (3.0, plain(0.8)),
        (2.0, SamplerConfig { top_k: Some(10), ..plain(1.0) }),
        (2.0, SamplerConfig { top_k: Some(50), top_p: Some(0.9), ..plain(1.2) }),
    ] {
        twins.draw(&spread(vocab, deviation), &settings);
    }
}

/// The largest of 50,257 random numbers is so close to 1 that float32 could not tell it from others, nor WGSL's logarithm.
#[test]
fn noise_is_accurate_where_it_decides_alone() {
    let vocab = 50_257;
    let Some(mut twins) = Twins::new(vocab, 500) else { return };
    let mut drawn = twins.draw(&vec![0.0; vocab], &plain(1.0));
    drawn.sort_unstable();
    drawn.dedup();
    assert!(drawn.len() > 480, "nearly all are different");
}

#[test]
fn cuts_keep_the_first_of_equal_logits() {
    for (vocab, first) in [(65, 30), (257, 250), (1025, 0)] {
        let Some(mut twins) = Twins::new(vocab, 200) else { return };
        // Five are the likeliest, zeros of both signs; of the others some are equal too.
        let mut logits: Vec<f32> = (0..vocab).map(|i| -1.0 - (i % 3) as f32).collect();
        for (i, logit) in logits[first..first + 5].iter_mut().enumerate() {
            *logit = if i % 2 == 0 { -0.0 } else { 0.0 };
        }
        let first = first as u32;
        let mut ids = |settings: &SamplerConfig| {
            let mut ids = twins.draw(&logits, settings);
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        assert_eq!(ids(&plain(0.0)), [first]);
        assert_eq!(ids(&SamplerConfig { top_k: Some(1), ..plain(1.0) }), [first]);
        assert_eq!(ids(&SamplerConfig { top_k: Some(4), ..plain(1.0) }), [first, first + 1, first + 2, first + 3]);
        let half = SamplerConfig { top_k: Some(5), top_p: Some(0.5), ..plain(3.0) };
        assert_eq!(ids(&half), [first, first + 1, first + 2]);
        let others = ids(&SamplerConfig { top_k: Some(8), ..plain(1e6) });
        assert_eq!(others.len(), 8);
        assert!(others.iter().all(|&id| logits[id as usize] >= -1.0), "{others:?}");
        ids(&SamplerConfig { top_p: Some(0.7), ..plain(1e6) });
    }
}

#[test]
fn logits_that_are_not_finite_give_no_token() {
    for vocab in [1, 66, 257] {
        let Some(mut twins) = Twins::new(vocab, 2) else { return };
        for strange in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, vocab / 2, vocab - 1] {
                let mut logits = spread(vocab, 1.0);
                logits[at] = strange;
                for settings in [plain(0.0), SamplerConfig { top_k: Some(3), top_p: Some(0.5), ..plain(1.0) }] {
                    assert_eq!(twins.draw(&logits, &settings), [NO_TOKEN; 2]);
                }
            }
        }
        // The largest finite numbers are fine.
        let mut logits = vec![f32::MIN; vocab];
        logits[vocab - 1] = f32::MAX;
        assert_eq!(twins.draw(&logits, &plain(1.0)), [vocab as u32 - 1; 2]);
    }
}
