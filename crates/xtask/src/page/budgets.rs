//! How much a visitor downloads before the model, as a host that compresses sends it (brotli, quality 11).

use std::path::Path;

use crate::error::{Error, Result};
use crate::table;

use super::names::Files;

/// Files that share a budget.
struct Budget {
    name: &'static str,
    /// What is promised.
    kilobytes: u64,
    holds: fn(&str) -> bool,
}

const BUDGETS: [Budget; 4] = [
    Budget { name: "HTML, CSS, JavaScript", kilobytes: 80, holds: |name| !is_kind(name, "wasm") },
    Budget {
        name: "the page's program",
        kilobytes: 350,
        holds: |name| is_kind(name, "wasm") && name.starts_with("page"),
    },
    Budget {
        name: "the worker's program",
        kilobytes: 350,
        holds: |name| is_kind(name, "wasm") && !name.starts_with("page") && !name.starts_with("learner"),
    },
    // Fetched by who trains a model.
    Budget {
        name: "the learner's program",
        kilobytes: 400,
        holds: |name| is_kind(name, "wasm") && name.starts_with("learner"),
    },
];

fn is_kind(name: &str, kind: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == kind)
}

/// Prints a table and fails if something is too large.
pub fn check(files: &Files) -> Result<()> {
    let sizes: Vec<_> = files.iter().map(|(name, content)| Size::of(name, content)).collect();
    print!("{}", table::align(&rows(&sizes)));
    let excess = excess(&sizes);
    if excess.is_empty() { Ok(()) } else { Err(Error::OverBudget(excess.join("; "))) }
}

struct Size {
    name: String,
    bytes: u64,
    compressed: u64,
}

impl Size {
    fn of(name: &str, content: &[u8]) -> Self {
        let mut compressed = Vec::new();
        let settings = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
        let mut input = content;
        brotli::BrotliCompress(&mut input, &mut compressed, &settings).expect("memory can be read and written");
        Self { name: name.into(), bytes: content.len() as u64, compressed: compressed.len() as u64 }
    }
}

fn spent(sizes: &[Size], budget: &Budget) -> (u64, u64) {
    let held = sizes.iter().filter(|size| (budget.holds)(&size.name));
    held.fold((0, 0), |(bytes, compressed), size| (bytes + size.bytes, compressed + size.compressed))
}

fn rows(sizes: &[Size]) -> Vec<Vec<String>> {
    let mut rows = vec![["file", "bytes", "brotli", "budget"].map(String::from).to_vec()];
    for size in sizes {
        rows.push(vec![size.name.clone(), size.bytes.to_string(), size.compressed.to_string(), String::new()]);
    }
    for budget in &BUDGETS {
        let (bytes, compressed) = spent(sizes, budget);
        let limit = (budget.kilobytes * 1000).to_string();
        rows.push(vec![budget.name.into(), bytes.to_string(), compressed.to_string(), limit]);
    }
    rows
}

fn excess(sizes: &[Size]) -> Vec<String> {
    let mut excess = Vec::new();
    for budget in &BUDGETS {
        let (_, compressed) = spent(sizes, budget);
        let allowed = budget.kilobytes * 1000;
        if compressed > allowed {
            excess.push(format!("{}: {compressed} bytes, {allowed} allowed", budget.name));
        }
    }
    excess
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(name: &str, compressed: u64) -> Size {
        Size { name: name.into(), bytes: 3 * compressed, compressed }
    }

    #[test]
    fn every_file_is_on_one_budget() {
        for name in [
            "index.html",
            "page-1.js",
            "worker-1.js",
            "base-1.css",
            "page_bg-1.wasm",
            "worker_bg-1.wasm",
            "learner_bg-1.wasm",
            "sw.js",
        ] {
            assert_eq!(BUDGETS.iter().filter(|budget| (budget.holds)(name)).count(), 1, "{name}");
        }
    }

    #[test]
    fn files_of_one_budget_add_up() {
        let sizes = [size("page.js", 50_000), size("index.html", 30_000), size("page_bg.wasm", 350_000)];
        assert_eq!(excess(&sizes), Vec::<String>::new());
        let sizes = [size("page.js", 50_000), size("index.html", 30_001), size("worker_bg.wasm", 1)];
        assert_eq!(excess(&sizes), ["HTML, CSS, JavaScript: 80001 bytes, 80000 allowed"]);
        assert_eq!(rows(&sizes)[4], ["HTML, CSS, JavaScript", "240003", "80001", "80000"]);
    }

    #[test]
    fn sizes_are_brotlis() {
        let size = Size::of("a", &[b'a'; 10_000]);
        assert_eq!(size.bytes, 10_000);
        assert!((1..30).contains(&size.compressed), "{}", size.compressed);
    }
}
