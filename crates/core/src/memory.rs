//! The CPU engine's memory: one buffer per tensor (one per arena field for parameters).
//!
//! Buffers are behind `RefCell`s: an op that reads what it writes is caught at once, at the price of a counter per access.

use std::cell::{Ref, RefCell, RefMut};

use crate::cpu::Pool;
use crate::cpu::aligned::AlignedVec;
use crate::program::{Program, Tensor};

/// Where a tensor lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    buffer: usize,
    offset: usize,
    len: usize,
}

/// All tensors of a loaded program and the threads that work on them.
pub struct Memory {
    places: Vec<Place>,
    buffers: Vec<RefCell<AlignedVec>>,
    /// The threads that ops run on.
    pub pool: Pool,
}

impl Memory {
    /// Allocates every buffer of a program, zeroed but for its constants.
    pub fn new(program: &Program, pool: Pool) -> Self {
        let places =
            program.tensors.iter().map(|t| Place { buffer: t.buffer, offset: t.offset, len: t.numel() }).collect();
        let buffers = program.buffers.iter().map(|&(len, _)| RefCell::new(AlignedVec::zeros(len))).collect();
        let memory = Self { places, buffers, pool };
        for constant in &program.constants {
            memory.write(constant.tensor).copy_from_slice(&(constant.values)());
        }
        memory
    }

    /// A tensor's values, row-major.
    ///
    /// # Panics
    /// When an op reads a buffer that it is writing.
    pub fn read(&self, tensor: Tensor) -> Ref<'_, [f32]> {
        let Place { buffer, offset, len } = self.places[tensor.0 as usize];
        Ref::map(self.buffers[buffer].borrow(), |b| &b[offset..offset + len])
    }

    /// A tensor's values, to change.
    ///
    /// # Panics
    /// When an op writes a buffer that it is reading.
    pub fn write(&self, tensor: Tensor) -> RefMut<'_, [f32]> {
        let Place { buffer, offset, len } = self.places[tensor.0 as usize];
        RefMut::map(self.buffers[buffer].borrow_mut(), |b| &mut b[offset..offset + len])
    }

    /// A tensor of token ids.
    pub fn read_ids(&self, tensor: Tensor) -> Ref<'_, [u32]> {
        Ref::map(self.read(tensor), bytemuck::cast_slice)
    }

    /// A tensor of token ids, to change.
    pub fn write_ids(&self, tensor: Tensor) -> RefMut<'_, [u32]> {
        RefMut::map(self.write(tensor), bytemuck::cast_slice_mut)
    }

    /// A tensor of float16, two to a float's place.
    pub fn read_halves(&self, tensor: Tensor) -> Ref<'_, [u16]> {
        Ref::map(self.read(tensor), bytemuck::cast_slice)
    }

    /// A tensor of float16, to change.
    pub fn write_halves(&self, tensor: Tensor) -> RefMut<'_, [u16]> {
        RefMut::map(self.write(tensor), bytemuck::cast_slice_mut)
    }
}
