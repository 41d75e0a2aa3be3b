//! Pictures of many numbers: one canvas, a pixel per number, enlarged without smoothing by the style sheet (`image-rendering: pixelated`).

use leptos::html::Canvas;
use leptos::prelude::*;

use super::color::Rgb;
use super::reactive::effect;

/// A picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// In numbers.
    pub width: usize,
    /// In numbers.
    pub height: usize,
    /// Red, green, blue, opacity of each, row by row.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A picture of `height` rows; `color` gives row and column theirs, or none where nothing is to be seen (the background shows).
    pub fn new(width: usize, height: usize, color: impl Fn(usize, usize) -> Option<Rgb>) -> Self {
        let mut pixels = Vec::with_capacity(width * height * 4);
        for row in 0..height {
            for column in 0..width {
                let ([r, g, b], opacity) = color(row, column).map_or(([0; 3], 0), |color| (color, 255));
                pixels.extend([r, g, b, opacity]);
            }
        }
        Self { width, height, pixels }
    }
}

/// A canvas that shows a picture; its size on screen is the style sheet's. It is hidden from readers: whoever uses it says the same in words.
#[component]
pub fn Pixels(
    /// What to show.
    #[prop(into)]
    picture: Signal<Picture>,
    /// Of the canvas.
    #[prop(into, default = String::new())]
    class: String,
) -> impl IntoView {
    let canvas = NodeRef::<Canvas>::new();
    effect(move || {
        let Some(canvas) = canvas.get() else { return };
        picture.with(|picture| paint(&canvas, picture));
    });
    view! { <canvas node_ref=canvas class=format!("pixels {class}") aria-hidden="true"></canvas> }
}

fn paint(canvas: &web_sys::HtmlCanvasElement, picture: &Picture) {
    use wasm_bindgen::{Clamped, JsCast};

    let (width, height) = (picture.width as u32, picture.height as u32);
    // To set a size is to get another surface, even if it is the same size; and all pixels are put anyway.
    if (canvas.width(), canvas.height()) != (width, height) {
        canvas.set_width(width);
        canvas.set_height(height);
    }
    let Ok(Some(context)) = canvas.get_context("2d") else { return };
    let context: web_sys::CanvasRenderingContext2d = context.unchecked_into();
    let pixels = Clamped(&picture.pixels[..]);
    if let Ok(image) = web_sys::ImageData::new_with_u8_clamped_array_and_sh(pixels, width, height) {
        // Fails only for a detached image.
        let _ = context.put_image_data(&image, 0.0, 0.0);
    }
}
