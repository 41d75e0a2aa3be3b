//! `#train`: a model learns in this tab.

mod difference;
mod estimate;
mod log;
mod plot;
mod presets;
mod recipe;
mod verdict;
