//! Drawings of losses as SVG files, made by hand so that they are small and exact.
//!
//! - [`loss`]: the curves of one run.
//! - [`comparison`]: the validation curves of several.
//!
//! Nothing is told by colour alone, and each file suits a light or a dark ground as the reader prefers. Points that are not
//! finite leave a gap.

mod axis;
pub mod comparison;
mod curve;
pub mod loss;
mod marker;
mod paper;

pub use comparison::{ComparedCurve, ComparisonPlot};
pub use loss::LossPlot;
