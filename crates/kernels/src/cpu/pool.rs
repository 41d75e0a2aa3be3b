//! One persistent thread pool: a parallel `for` with a fixed meaning and a start-up of about a microsecond.
//!
//! A job is `n` tasks of one closure. Task indices are claimed from one atomic word, by the caller too; the caller returns when all have
//! finished. Nothing about a result may depend on which thread ran a task, so results do not depend on the thread count.
//!
//! Why not rayon: decoding one token of a small model takes ~100 µs and has ~20 parallel loops; workers here spin for a moment before
//! they sleep, which a general-purpose pool must not.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Bits of the task index and of the task count in the claim word; the rest counts jobs.
const INDEX_BITS: u32 = 20;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// How often an idle worker looks for a job before it sleeps: about 50 µs.
const SPINS: u32 = 2_000;

/// A closure with its type erased: the data pointer and the function that knows its type.
type Call = unsafe fn(*const (), usize);

struct Shared {
    /// `job << 40 | task count << 20 | next task`. One word, so that a claim is valid only for the job it was read from.
    claim: AtomicU64,
    data: AtomicPtr<()>,
    call: AtomicPtr<()>,
    /// Tasks of the present job that have not finished.
    pending: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    asleep: Vec<AtomicBool>,
}

impl Shared {
    /// Runs tasks of the present job until none is left to claim.
    fn work(&self) {
        loop {
            let claim = self.claim.load(Ordering::Acquire);
            let (count, next) = ((claim >> INDEX_BITS) & INDEX_MASK, claim & INDEX_MASK);
            if next >= count {
                return;
            }
            let data = self.data.load(Ordering::Relaxed);
            let call = self.call.load(Ordering::Relaxed);
            if self.claim.compare_exchange_weak(claim, claim + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            // SAFETY: `call` was stored from a `Call` by `run`. The claim succeeded, so the job that `data` and `call` were read
            // for is still running (`run` publishes another only when `pending` is 0, and this task is pending): the closure lives.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unsafe {
                std::mem::transmute::<*mut (), Call>(call)(data, next as usize);
            }));
            if result.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.pending.fetch_sub(1, Ordering::Release);
        }
    }

    fn has_work(&self) -> bool {
        let claim = self.claim.load(Ordering::SeqCst);
        claim & INDEX_MASK < (claim >> INDEX_BITS) & INDEX_MASK
    }

    fn worker(&self, index: usize) {
        while !self.stop.load(Ordering::Acquire) {
            self.work();
            let mut spins = 0;
            while !self.has_work() && !self.stop.load(Ordering::Acquire) {
                spins += 1;
                if spins < SPINS {
                    std::hint::spin_loop();
                    continue;
                }
                // Announce the sleep, then look once more: `run` publishes first and looks for sleepers second.
                self.asleep[index].store(true, Ordering::SeqCst);
                if !self.has_work() && !self.stop.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                self.asleep[index].store(false, Ordering::SeqCst);
                spins = 0;
            }
        }
    }
}

/// The pool. Not `Sync`: one job at a time.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    not_sync: PhantomData<Cell<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Pool {
    /// A pool of `threads` threads (the caller is one of them; 0 counts as 1). On wasm32 it is always 1.
    pub fn new(threads: usize) -> Self {
        let helpers = if cfg!(target_arch = "wasm32") { 0 } else { threads.max(1) - 1 };
        let shared = Arc::new(Shared {
            claim: AtomicU64::new(0),
            data: AtomicPtr::new(std::ptr::null_mut()),
            call: AtomicPtr::new(std::ptr::null_mut()),
            pending: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            asleep: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
        });
        let workers = (0..helpers)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                // A machine that cannot start another thread works with those it has.
                std::thread::Builder::new()
                    .name(format!("inkling-{}", index + 1))
                    .spawn(move || shared.worker(index))
                    .ok()
            })
            .collect();
        Self { shared, workers, not_sync: PhantomData }
    }

    /// One thread per core that the process may use.
    pub fn with_all_cores() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// Threads that work on a job, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(0), …, task(count - 1)`, in any order, on all threads; returns when all are done.
    ///
    /// # Panics
    /// When a task panicked.
    pub fn run<F: Fn(usize) + Sync>(&self, count: usize, task: F) {
        // Known when the program is compiled for a browser, which then need not download the rest.
        if cfg!(target_arch = "wasm32") || self.workers.is_empty() || count <= 1 {
            (0..count).for_each(task);
            return;
        }
        assert!(count as u64 <= INDEX_MASK, "{count} tasks: split the work into fewer, larger tasks");
        /// # Safety
        /// `data` points to a live `F`.
        unsafe fn call<F: Fn(usize)>(data: *const (), index: usize) {
            // SAFETY: the caller's promise.
            unsafe { (*data.cast::<F>())(index) };
        }
        let shared = &*self.shared;
        shared.data.store((&raw const task).cast_mut().cast(), Ordering::Relaxed);
        shared.call.store(call::<F> as Call as *mut (), Ordering::Relaxed);
        shared.pending.store(count, Ordering::Relaxed);
        let job = (shared.claim.load(Ordering::Relaxed) >> (2 * INDEX_BITS)) + 1;
        shared.claim.store(job << (2 * INDEX_BITS) | (count as u64) << INDEX_BITS, Ordering::SeqCst);
        for (worker, asleep) in self.workers.iter().zip(&shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        shared.work();
        let mut spins = 0;
        while shared.pending.load(Ordering::Acquire) != 0 {
            spins += 1;
            // A worker that lost its core needs ours to finish.
            if spins % SPINS == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a task of the thread pool panicked");
    }

    /// Cuts several slices into pieces: `outputs[i]` is `(data, piece length)` (the last piece may be shorter), all with the same number of
    /// pieces. Task `n` gets piece `n` of each.
    ///
    /// # Panics
    /// When the slices disagree about the number of pieces.
    pub fn pieces<const N: usize>(
        &self,
        mut outputs: [(&mut [f32], usize); N],
        task: impl Fn(usize, [&mut [f32]; N]) + Sync,
    ) {
        let count = outputs[0].0.len().div_ceil(outputs[0].1);
        for (data, length) in &outputs {
            assert_eq!(data.len().div_ceil(*length), count, "slices of different numbers of pieces");
        }
        /// A slice that the tasks share out: start, length, piece length.
        #[derive(Clone, Copy)]
        struct Base(*mut f32, usize, usize);
        // SAFETY: tasks get disjoint ranges, below.
        unsafe impl Sync for Base {}
        let bases: [Base; N] =
            std::array::from_fn(|i| Base(outputs[i].0.as_mut_ptr(), outputs[i].0.len(), outputs[i].1));
        let bases = &bases;
        self.run(count, |index| {
            let parts = std::array::from_fn(|i| {
                let Base(start, len, step) = bases[i];
                let (from, to) = ((index * step).min(len), ((index + 1) * step).min(len));
                // SAFETY: pieces of different tasks do not overlap, all lie inside the slice, and the slices stay mutably borrowed
                // until `run` has returned.
                unsafe { std::slice::from_raw_parts_mut(start.add(from), to - from) }
            });
            task(index, parts);
        });
    }

    /// Splits the rows of several matrices alike: `outputs[i]` is `(data, row length)`, all with the same number of rows. Each task gets a
    /// range of at most `rows_per_task` rows and the matching disjoint part of every matrix.
    ///
    /// # Panics
    /// When the matrices disagree about the number of rows.
    pub fn rows<const N: usize>(
        &self,
        outputs: [(&mut [f32], usize); N],
        rows_per_task: usize,
        task: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync,
    ) {
        let rows = outputs[0].0.len() / outputs[0].1;
        for (data, width) in &outputs {
            assert_eq!(data.len(), rows * width, "matrices of different heights");
        }
        let step = rows_per_task.max(1).max(rows.div_ceil(INDEX_MASK as usize));
        self.pieces(outputs.map(|(data, width)| (data, width * step)), |index, parts| {
            task(index * step..rows.min((index + 1) * step), parts);
        });
    }

    /// How many rows each task should get so that every thread has about `tasks_per_thread` of them.
    pub fn share(&self, rows: usize, tasks_per_thread: usize) -> usize {
        rows.div_ceil(self.threads() * tasks_per_thread).max(1)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker cannot panic: tasks are caught.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_exactly_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads);
            for count in [0, 1, 2, 3, 100, 1000] {
                let hits: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                for _ in 0..20 {
                    pool.run(count, |i| {
                        hits[i].fetch_add(1, Ordering::Relaxed);
                    });
                }
                assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 20));
            }
        }
    }

    #[test]
    fn jobs_after_a_sleep_still_run() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        for round in 0..3 {
            // Wait for the event itself: every worker announces its sleep.
            while !cfg!(target_arch = "wasm32") && !pool.shared.asleep.iter().all(|a| a.load(Ordering::SeqCst)) {
                std::thread::yield_now();
            }
            pool.run(10, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 45 * (round + 1));
        }
    }

    #[test]
    fn rows_are_shared_out_without_gap_or_overlap() {
        let pool = Pool::new(3);
        for rows in [0, 1, 7, 64, 65] {
            let (mut a, mut b) = (vec![0.0; rows * 3], vec![0.0; rows]);
            pool.rows([(&mut a, 3), (&mut b, 1)], 4, |range, [a, b]| {
                assert_eq!(a.len(), range.len() * 3);
                for (i, row) in range.enumerate() {
                    a[3 * i..3 * i + 3].iter_mut().for_each(|x| *x += row as f32);
                    b[i] += row as f32;
                }
            });
            for row in 0..rows {
                assert_eq!(b[row], row as f32);
                assert_eq!(a[3 * row..3 * row + 3], [row as f32; 3]);
            }
        }
    }

    #[test]
    #[cfg(not(target_arch = "wasm32"))]
    fn a_panicking_task_is_reported_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(8, |i| assert!(i != 5, "task five fails"));
        }));
        assert!(result.is_err());
        let hits = AtomicUsize::new(0);
        pool.run(8, |_| {
            hits.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(hits.load(Ordering::Relaxed), 8);
    }
}
