//! What a model keeps while it writes: `2 · layers · key heads · head size · bytes` per token (Shazeer 2019; Ainslie et al. 2023).

use leptos::prelude::*;

use crate::ui::chip::{Chip, Source};
use crate::ui::number::bytes;
use crate::ui::reactive::{live, memo};
use crate::ui::sections::scale::share;
use crate::ui::segment::segment;
use crate::ui::store::Store;

/// Sizes, in the order of [`FIELDS`].
type Shape = [u32; 5];

const FIELDS: [(&str, &str); 5] = [
    ("cache-layers", "Layers"),
    ("cache-heads", "Heads"),
    ("cache-kv", "KV heads of GQA"),
    ("cache-size", "Head size"),
    ("cache-context", "Context"),
];

/// The largest of any size.
const MOST: u32 = 1 << 20;

/// Shapes as they were published; GPT-2 has as many key heads as heads, so its are a third of them, for comparison.
const PUBLISHED: [(&str, Shape); 3] =
    [("GPT-2", [12, 12, 4, 64, 1024]), ("Llama 3 8B", [32, 32, 8, 128, 8192]), ("Llama 3 70B", [80, 64, 8, 128, 8192])];

/// Bytes per token, with so many heads of keys and values.
fn per_token([layers, _, _, size, _]: Shape, kv_heads: u32, bytes: u32) -> f64 {
    2.0 * f64::from(layers) * f64::from(kv_heads) * f64::from(size) * f64::from(bytes)
}

/// What cannot be about a shape.
fn trouble([_, heads, kv_heads, ..]: Shape) -> Option<&'static str> {
    (heads % kv_heads != 0).then_some("Every head of keys serves as many queries: KV heads must divide heads.")
}

/// A size as it was typed.
fn size(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|size| (1..=MOST).contains(size))
}

/// The calculator.
pub fn view(store: Store) -> AnyView {
    // What the visitor made of it; the open model's until then.
    let own = RwSignal::new(None::<Shape>);
    let is_half = RwSignal::new(true);
    let wrong = RwSignal::new(None);
    let open = memo(move || {
        store.model.with(|model| {
            model.as_ref().map(|model| {
                let config = &model.config;
                let heads = config.n_head;
                // With as many key heads as heads there would be nothing to compare.
                let shared = if config.n_kv_head < heads || heads % 2 == 1 { config.n_kv_head } else { heads / 2 };
                [config.n_layer, heads, shared, config.head_dim(), config.n_positions].map(|size| size as u32)
            })
        })
    });
    let shape = memo(move || own.get().or_else(|| open.get()).unwrap_or(PUBLISHED[0].1));
    let width = move || if is_half.get() { 2 } else { 4 };
    let set = move |at: usize, text: String| {
        let mut shape = shape.get_untracked();
        let changed = size(&text).map(|size| shape[at] = size);
        wrong.set(match changed {
            None => Some("Sizes are whole numbers from 1 to about a million."),
            Some(()) => trouble(shape),
        });
        if wrong.with_untracked(Option::is_none) {
            own.set(Some(shape));
        }
    };
    let take = move |shape: Option<Shape>| {
        wrong.set(None);
        own.set(shape);
    };
    let presets = [("open model", None)].into_iter().chain(PUBLISHED.map(|(name, shape)| (name, Some(shape))));
    let preset = |(name, preset): (&'static str, Option<Shape>)| {
        view! {
            <button type="button" aria-pressed=move || (own.get() == preset).to_string() on:click=move |_| take(preset)>{name}</button>
        }
    };
    let field = |at: usize| {
        let (id, label) = FIELDS[at];
        view! {
            <span class="cache-field">
                <label for=id>{label}</label>
                <input
                    type="number"
                    id=id
                    min="1"
                    max=MOST
                    aria-describedby="cache-wrong"
                    prop:value=move || shape.get()[at].to_string()
                    on:input=move |event| set(at, event_target_value(&event))
                />
            </span>
        }
    };
    let row = |(name, of): (&'static str, fn(Shape) -> u32)| {
        let heads = move || of(shape.get());
        let width_of = move || share(100.0 * f64::from(heads()) / f64::from(shape.get()[1]));
        let token = move || per_token(shape.get(), heads(), width());
        view! {
            <tr>
                <th scope="row">{name} <small>{move || heads().to_string()}</small></th>
                <td class="cache-bar" aria-hidden="true"><span style:width=live(width_of)></span></td>
                <td class="number">{move || bytes(token())}</td>
                <td class="number">{move || bytes(token() * f64::from(shape.get()[4]))}</td>
            </tr>
        }
    };
    type Heads = fn(Shape) -> u32;
    let rows: [(&str, Heads); 3] = [("MHA", |shape| shape[1]), ("GQA", |shape| shape[2]), ("MQA", |_| 1)];
    let format = [(true, "f16"), (false, "f32")].map(|(half, word)| {
        segment("cache-format", word, word, move || is_half.get() == half, move || is_half.set(half))
    });
    view! {
        <div class="panel cache">
            <div class="modern-head">
                <h3>"What writing keeps in memory"</h3>
                <Chip source=Source::Illustrative shape="2 · layers · KV heads · head size · bytes" />
            </div>
            <p class="small">
                "A model that writes keeps the keys and values of every token, so as not to compute them again. With many heads (MHA) each query head has
                its own, with groups (GQA) several share, with one (MQA) all do."
            </p>
            <div class="stack-presets" role="group" aria-label="Shape of">{presets.map(preset).collect_view()}</div>
            <div class="cache-fields">
                {(0..FIELDS.len()).map(field).collect_view()}
                <span class="segments" role="group" aria-label="Number format">{format.into_iter().collect_view()}</span>
            </div>
            <p class="sentence" id="cache-wrong">{wrong}</p>
            <table class="cache-table">
                <thead>
                    <tr>
                        <th scope="col">"KV heads"</th>
                        <td></td>
                        <th scope="col" class="number">"per token"</th>
                        <th scope="col" class="number">"context"</th>
                    </tr>
                </thead>
                <tbody>{rows.map(row).into_iter().collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_shapes_keep_what_is_known_of_them() {
        let [gpt2, small_llama, llama] = PUBLISHED.map(|(_, shape)| shape);
        // 12 layers × 2 × 768 channels × 2 bytes.
        assert_eq!(per_token(gpt2, gpt2[1], 2), 36_864.0);
        // 128 KiB a token in 16 bits, 1 GiB in 8192 of them.
        assert_eq!(per_token(small_llama, small_llama[2], 2) * 8192.0, f64::from(1 << 30));
        assert_eq!(per_token(llama, llama[2], 2), 327_680.0);
        assert!(PUBLISHED.iter().all(|(_, shape)| trouble(*shape).is_none()));
    }

    #[test]
    fn sizes_that_cannot_be_are_named() {
        assert_eq!((size("12"), size(" 1 "), size("1048576")), (Some(12), Some(1), Some(MOST)));
        for text in ["", "0", "-1", "1.5", "1048577", "x"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert!(trouble([1, 12, 5, 1, 1]).is_some());
    }
}
