//! The choice of tiles: by default, by measuring, and from what was kept.

use inkling_core::gpu::Tuning;
use inkling_core::gpu::product::{Choice, Layout, MAX_SPLITS, Product, Tile};
use inkling_core::gpu::{Capabilities, Kernels};
use inkling_core::ops::linear::Sizes;
use inkling_core::program::{DType, Program, Training};

use crate::{device, wait};

fn product(layout: Layout, rows: usize, outputs: usize, inputs: usize) -> Product {
    Product { layout, sizes: Sizes { rows, outputs, inputs }, types: [DType::F32; 3] }
}

const LAYOUTS: [Layout; 3] = [Layout::Forward, Layout::BackwardInput, Layout::BackwardWeight];

#[test]
fn the_default_makes_enough_workgroups_of_the_largest_tile() {
    let choice = |layout, rows| product(layout, rows, 384, 1536).default_choice();
    assert_eq!(choice(Layout::Forward, 16_384), Choice { tile: Tile::T128x64By8, splits: 1 });
    assert_eq!(choice(Layout::Forward, 4096), Choice { tile: Tile::T64x64By8, splits: 1 });
    assert_eq!(choice(Layout::Forward, 1024), Choice { tile: Tile::T64x64By4, splits: 1 });
    assert_eq!(choice(Layout::Forward, 64), Choice { tile: Tile::T32x32By4, splits: 1 });
    // 384 x 1536 are 72 tiles of 128 x 64.
    assert_eq!(choice(Layout::BackwardWeight, 16_384), Choice { tile: Tile::T128x64By8, splits: 4 });
    // Too few rows to split.
    assert_eq!(choice(Layout::BackwardWeight, 200), Choice { tile: Tile::T64x64By4, splits: 1 });
}

#[test]
fn candidates_are_valid_and_begin_with_the_default() {
    for layout in LAYOUTS {
        for rows in [1, 100, 4096, 1_000_000] {
            for (outputs, inputs) in [(1, 1), (65, 128), (128, 512), (50_257, 768)] {
                let product = product(layout, rows, outputs, inputs);
                let candidates = product.candidates();
                assert_eq!(candidates[0], product.default_choice());
                for (i, choice) in candidates.iter().enumerate() {
                    assert!((1..=MAX_SPLITS).contains(&choice.splits), "{product}: {choice:?}");
                    assert!(choice.splits == 1 || layout == Layout::BackwardWeight, "{product}: {choice:?}");
                    assert!(!candidates[..i].contains(choice), "{product}: {choice:?} twice");
                }
                for tile in Tile::ALL {
                    assert!(candidates.iter().any(|c| c.tile == tile), "{product}: {tile:?} is not tried");
                }
            }
        }
    }
}

#[test]
fn every_tile_runs_on_the_least_adapter() {
    let Capabilities { max_invocations, max_workgroup_memory, .. } = Capabilities::least();
    for tile in Tile::ALL {
        let shape = tile.shape();
        let threads = shape.rows * shape.cols / (shape.per_thread * shape.per_thread);
        assert!(threads <= max_invocations as usize, "{tile:?}: {threads} threads");
        let bytes = 4 * (shape.rows + shape.cols) * shape.depth;
        assert!(bytes <= max_workgroup_memory as usize, "{tile:?}: {bytes} bytes");
        // Each thread has at most two patches, and those of A are first patches.
        assert!((shape.rows + shape.cols) * shape.depth <= 2 * 16 * threads, "{tile:?}: patches");
        assert!(shape.rows * shape.depth <= 16 * threads, "{tile:?}: patches of A");
    }
}

#[test]
fn products_are_measured_once() {
    let Some(device) = device() else { return };
    // 256 rows may be split once.
    let products = [Layout::BackwardInput, Layout::BackwardWeight].map(|layout| product(layout, 256, 20, 24));
    assert_eq!(wait(device.measure(&products)).unwrap(), 2);
    let tuning = device.tuning();
    let program = Program::new(vec![], Training::No);
    let mut kernels = Kernels::new(&program, device.capabilities()).tuned(&tuning);
    for product in &products {
        let choice = tuning.get(product).unwrap();
        assert!(product.candidates().contains(&choice), "{product}: {choice:?}");
        assert_eq!(kernels.choose(product), choice);
    }
    assert_eq!(wait(device.measure(&products)).unwrap(), 0);
}

#[test]
fn measurements_survive_json() {
    let Some(device) = device() else { return };
    let known = product(Layout::BackwardWeight, 700, 11, 13);
    let choice = Choice { tile: Tile::T128x128By8, splits: 4 };
    let mut tuning = Tuning::new(device.report());
    tuning.insert(&known, choice);
    let json = serde_json::to_string(&tuning).unwrap();
    assert!(device.set_tuning(serde_json::from_str(&json).unwrap()));
    assert_eq!(device.tuning().get(&known), Some(choice));
    // Another layout, size or element type is another product.
    assert_eq!(device.tuning().get(&product(Layout::Forward, 700, 11, 13)), None);
    assert_eq!(device.tuning().get(&Product { types: [DType::F16, DType::F32, DType::F32], ..known }), None);
}

#[test]
fn what_would_be_wrong_for_a_product_is_not_taken() {
    let Some(device) = device() else { return };
    let mut tuning = Tuning::new(device.report());
    // Only a weight's gradient can be made in parts, and only of as many rows as there are.
    for (layout, rows) in [(Layout::Forward, 900), (Layout::BackwardInput, 900), (Layout::BackwardWeight, 90)] {
        let product = product(layout, rows, 11, 13);
        tuning.insert(&product, Choice { tile: Tile::T32x32By4, splits: 4 });
        assert_eq!(tuning.get(&product), None, "{product}");
    }
}

#[test]
fn measurements_of_other_kernels_adapters_or_choices_are_refused() {
    let Some(device) = device() else { return };
    let known = product(Layout::BackwardWeight, 17, 19, 23);
    let mut tuning = Tuning::new(device.report());
    tuning.insert(&known, Choice { tile: Tile::T32x32By4, splits: 1 });
    let json = serde_json::to_value(&tuning).unwrap();
    for (at, value) in [
        ("/kernels", 1.into()),
        ("/adapter", "another".into()),
        ("/choices/backward_weight 17x19x23 f32 f32 f32/splits", 0.into()),
        ("/choices/backward_weight 17x19x23 f32 f32 f32/splits", 1_000_000.into()),
    ] {
        let mut json = json.clone();
        *json.pointer_mut(at).unwrap() = value;
        assert!(!device.set_tuning(serde_json::from_value(json).unwrap()), "{at}");
        assert_eq!(device.tuning().get(&known), None);
    }
    let unknown_tile = json.to_string().replace("32x32 by 4", "7x7 by 1");
    assert!(serde_json::from_str::<Tuning>(&unknown_tile).is_err());
}
