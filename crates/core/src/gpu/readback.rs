//! Reading from the device: a copy into a staging buffer, which is kept for the next time unless it is large (making one costs over a
//! millisecond), and a future that is ready once it is mapped.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::oneshot;

use super::device::GpuDevice;
use crate::error::{GpuError, Result};
use crate::program::DType;

/// Larger staging buffers are not kept: filling one takes longer than making it, and the weights of a whole model would stay twice.
const MOST_KEPT: u64 = 4 << 20;

/// Staging buffers that nobody is using.
pub(super) type Staging = Rc<RefCell<Vec<wgpu::Buffer>>>;

/// A read that was asked for: its copy is in the device's queue, in order with everything else.
#[derive(Debug)]
pub struct Pending(pub(crate) Kind);

/// Where the values are.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Here.
    Ready(Vec<f32>),
    /// On their way.
    Gpu {
        device: GpuDevice,
        staging: Staging,
        buffer: wgpu::Buffer,
        len: usize,
        dtype: DType,
        /// Its number among the device's reads.
        read: u64,
    },
}

impl Pending {
    pub(crate) fn ready(values: Vec<f32>) -> Self {
        Self(Kind::Ready(values))
    }

    /// Adds values that are here.
    pub(crate) fn append(&mut self, values: &[f32]) {
        match &mut self.0 {
            Kind::Ready(ready) => ready.extend_from_slice(values),
            Kind::Gpu { .. } => panic!("a read of another engine"),
        }
    }

    /// Waits for the values. The engine must have submitted the copy.
    pub(crate) async fn wait(self) -> Result<Vec<f32>> {
        let (device, staging, buffer, len, dtype, read) = match self.0 {
            Kind::Ready(values) => return Ok(values),
            Kind::Gpu { device, staging, buffer, len, dtype, read } => (device, staging, buffer, len, dtype, read),
        };
        let (sender, receiver) = oneshot::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when nobody wants the values any more.
            let _ = sender.send(result);
        });
        // Natively somebody has to wait for the device; in the browser this does nothing, and the event loop does.
        device.0.poll(wgpu::PollType::wait_indefinitely())?;
        let mapped = receiver.await.map_err(|_| GpuError::Lost("a read was given up".into()));
        device.check()?;
        device.0.pace().finished(read);
        mapped?.map_err(|error| GpuError::Validation(error.to_string()))?;
        // Mapped ranges are of whole words.
        let bytes = (len * dtype.bytes()).next_multiple_of(4) as u64;
        let view = buffer.slice(..bytes).get_mapped_range().map_err(|e| GpuError::Validation(e.to_string()))?;
        let mut values: Vec<f32> = match dtype {
            DType::F32 => view.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            DType::F16 => view.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        };
        values.truncate(len);
        drop(view);
        buffer.unmap();
        if buffer.size() <= MOST_KEPT {
            staging.borrow_mut().push(buffer);
        }
        Ok(values)
    }

    /// Whether this is a read of the engine with these staging buffers, or needs none.
    pub(super) fn is_of(&self, engine: &Staging) -> bool {
        match &self.0 {
            Kind::Ready(_) => true,
            Kind::Gpu { staging, .. } => Rc::ptr_eq(staging, engine),
        }
    }
}

/// A staging buffer of at least `bytes`: the smallest that is free, or a new one.
pub(super) fn staging_buffer(device: &wgpu::Device, free: &Staging, bytes: u64) -> wgpu::Buffer {
    let mut free = free.borrow_mut();
    let fits = free.iter().enumerate().filter(|(_, b)| b.size() >= bytes).min_by_key(|(_, b)| b.size());
    if let Some((at, _)) = fits {
        return free.swap_remove(at);
    }
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("staging"),
        // Rounded up, so that reads of similar sizes share.
        size: bytes.next_power_of_two().max(256),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    })
}
