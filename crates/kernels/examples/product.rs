//! The product of two matrices as a WebAssembly program of its own: what the page's training is measured against (`cargo xtask bench --page`).

use std::cell::RefCell;

use inkling_kernels::cpu::gemm::{Beta, Mat, gemm};
use inkling_kernels::cpu::pool::Pool;

/// `[A, B, C]`, and how many rows and columns each has.
type Matrices = ([Vec<f32>; 3], usize);

thread_local! {
    static MATRICES: RefCell<Matrices> = RefCell::default();
    static POOL: Pool = Pool::new(1);
}

/// Makes matrices of this size.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn prepare(n: usize) {
    let noise = |seed: usize| (0..n * n).map(|i| ((i * 7 + seed) % 17) as f32 / 17.0 - 0.5).collect();
    MATRICES.set(([noise(0), noise(5), vec![0.0; n * n]], n));
}

/// `C = A · B`.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
pub extern "C" fn multiply() {
    MATRICES.with_borrow_mut(|([a, b, c], n)| {
        let n = *n;
        POOL.with(|pool| gemm(pool, Mat::new(a, n, n), Mat::new(b, n, n), Beta::Assign, [(&mut c[..], n)], |_, _| {}));
    });
}
