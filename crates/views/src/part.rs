//! What is set on an element: attributes and the like, listeners, references.

use leptos::reactive::effect::RenderEffect;
use leptos::tachys::renderer::types::Element as Node;
use leptos::tachys::renderer::{RemoveEventHandler, Rndr};
use leptos::wasm_bindgen::JsValue;
use send_wrapper::SendWrapper;

use crate::Value;
use crate::run::Hear;

/// Where a value goes.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Attribute,
    Class,
    Style,
    Property,
}

/// One thing that is set on an element.
pub(crate) enum Part {
    Value(Place, &'static str, Value),
    Listener(&'static str, SendWrapper<Box<dyn Hear>>),
    Reference(Box<dyn FnOnce(&Node) + Send>),
}

/// What is kept of a part that has been set.
pub(crate) enum PartState {
    Value(Place, &'static str, Kept),
    /// Dropping it takes the listener away.
    Listener(&'static str, #[expect(dead_code, reason = "held for its drop")] RemoveEventHandler<Node>),
    Reference,
}

pub(crate) enum Kept {
    Still(Value),
    Live(RenderEffect<Value>),
}

impl Part {
    /// Whether it goes to where the other one went.
    pub(crate) fn replaces(&self, state: &PartState) -> bool {
        match (self, state) {
            (Self::Value(place, name, _), PartState::Value(old_place, old_name, _)) => {
                place == old_place && name == old_name
            }
            (Self::Listener(name, _), PartState::Listener(old_name, _)) => name == old_name,
            (Self::Reference(_), PartState::Reference) => true,
            _ => false,
        }
    }

    /// Sets it, in the place of the last one if there was one.
    pub(crate) fn set(self, node: &Node, last: Option<PartState>) -> PartState {
        match self {
            Self::Value(place, name, value) => {
                let last = match last {
                    Some(PartState::Value(_, _, Kept::Still(value))) => Some(value),
                    Some(PartState::Value(_, _, Kept::Live(effect))) => effect.take_value(),
                    _ => None,
                };
                PartState::Value(place, name, keep(node, place, name, value, last))
            }
            Self::Listener(name, run) => {
                drop(last);
                let mut run = run.take();
                PartState::Listener(name, Rndr::add_event_listener(node, name, Box::new(move |event| run.hear(event))))
            }
            Self::Reference(fill) => {
                fill(node);
                PartState::Reference
            }
        }
    }
}

fn keep(node: &Node, place: Place, name: &'static str, value: Value, last: Option<Value>) -> Kept {
    match value {
        Value::Live(mut run) => {
            let node = node.clone();
            let follow = move |last: Option<Value>| {
                let now = run.run().now();
                put(&node, place, name, &now, last.as_ref());
                now
            };
            Kept::Live(RenderEffect::new_with_value(follow, last))
        }
        still => {
            put(node, place, name, &still, last.as_ref());
            Kept::Still(still)
        }
    }
}

fn put(node: &Node, place: Place, name: &str, value: &Value, last: Option<&Value>) {
    // A reader changes properties too: only attributes, classes and styles are known to be what they were.
    if place != Place::Property && last.is_some_and(|last| last.is(value)) {
        return;
    }
    match (place, value) {
        (Place::Attribute, Value::Text(text)) => Rndr::set_attribute(node, name, text),
        (Place::Attribute, Value::Flag(true)) => Rndr::set_attribute(node, name, ""),
        (Place::Class, Value::Flag(true)) => Rndr::add_class(&Rndr::class_list(node), name),
        (Place::Style, Value::Text(text)) => Rndr::set_css_property(&Rndr::style(node), name, text),
        (Place::Property, Value::Text(text)) => Rndr::set_property_or_value(node, name, &JsValue::from_str(text)),
        (Place::Property, Value::Flag(flag)) => Rndr::set_property_or_value(node, name, &JsValue::from_bool(*flag)),
        // What has not been there need not be taken away.
        _ if last.is_none() => {}
        (Place::Attribute, _) => Rndr::remove_attribute(node, name),
        (Place::Class, _) => Rndr::remove_class(&Rndr::class_list(node), name),
        (Place::Style, _) => Rndr::remove_css_property(&Rndr::style(node), name),
        (Place::Property, _) => Rndr::set_property_or_value(node, name, &JsValue::UNDEFINED),
    }
}
