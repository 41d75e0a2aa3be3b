//! An element, whatever its tag, attributes and children.

use leptos::html::ElementType;
use leptos::prelude::{AddAnyAttr, AnyView, IntoAny, IntoRender, Mountable, NodeRef, Render, RenderHtml};
use leptos::reactive::owner::Owner;
use leptos::tachys::html::attribute::Attribute;
use leptos::tachys::html::attribute::any_attribute::AnyAttribute;
use leptos::tachys::html::event::EventDescriptor;
use leptos::tachys::html::node_ref::NodeRefContainer;
use leptos::tachys::hydration::Cursor;
use leptos::tachys::renderer::Rndr;
use leptos::tachys::renderer::types::{Element as Node, Event};
use leptos::tachys::view::any_view::AnyViewState;
use leptos::tachys::view::{Position, PositionState};
use leptos::wasm_bindgen::JsCast;
use send_wrapper::SendWrapper;

use crate::part::{Part, PartState, Place};
use crate::run::Hear;
use crate::{ClassValue, Value};

/// Functions named like tags, each of which makes such an element.
macro_rules! tags {
    ($namespace:expr; $($tag:ident)*) => { $(
        /// The element of this tag.
        #[inline(always)]
        pub fn $tag() -> $crate::Element {
            $crate::Element::new(stringify!($tag), $namespace)
        }
    )* };
}
pub(crate) use tags;

/// An element that is not drawn yet.
pub struct Element(Box<Plan>);

struct Plan {
    tag: &'static str,
    namespace: Option<&'static str>,
    parts: Vec<Part>,
    children: Vec<AnyView>,
}

/// An element in the page.
pub struct ElementState {
    tag: &'static str,
    node: Node,
    parts: Vec<PartState>,
    children: Vec<AnyViewState>,
}

impl Element {
    /// An element with nothing set and nothing in it.
    #[inline(never)]
    pub fn new(tag: &'static str, namespace: Option<&'static str>) -> Self {
        Self(Box::new(Plan { tag, namespace, parts: Vec::new(), children: Vec::new() }))
    }

    #[inline(never)]
    fn with_part(mut self, part: Part) -> Self {
        self.0.parts.push(part);
        self
    }

    #[inline(never)]
    fn with_child(mut self, child: AnyView) -> Self {
        self.0.children.push(child);
        self
    }

    /// Adds what stands in it. (`view!` makes one view of several.)
    pub fn child<T: IntoRender<Output: RenderHtml>>(self, child: T) -> Self {
        self.with_child(child.into_render().into_any())
    }

    /// Sets an attribute.
    pub fn attr(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.with_part(Part::Value(Place::Attribute, name, value.into()))
    }

    /// Sets the classes, or one of them.
    pub fn class(self, value: impl ClassValue) -> Self {
        match value.split() {
            (None, value) => self.attr("class", value),
            (Some(class), value) => self.with_part(Part::Value(Place::Class, class, value)),
        }
    }

    /// Sets a property of the element's style.
    pub fn style(self, (name, value): (&'static str, impl Into<Value>)) -> Self {
        self.with_part(Part::Value(Place::Style, name, value.into()))
    }

    /// Sets a property of the element's object.
    pub fn prop(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.with_part(Part::Value(Place::Property, name, value.into()))
    }

    /// Does something when an event comes to the element, or to one in it if events of its kind bubble.
    pub fn on<E>(self, event: E, mut run: impl FnMut(E::EventType) + 'static) -> Self
    where
        E: EventDescriptor<EventType: JsCast>,
    {
        const { assert!(!E::CAPTURE, "listeners in the capture phase are Leptos' business") };
        let name = match event.name() {
            std::borrow::Cow::Borrowed(name) => name,
            std::borrow::Cow::Owned(name) => name.leak(),
        };
        self.with_listener(name, Box::new(move |event: Event| run(event.unchecked_into())))
    }

    #[inline(never)]
    fn with_listener(self, name: &'static str, mut run: Box<dyn Hear>) -> Self {
        let owner = Owner::current().unwrap_or_default();
        let run = move |event: Event| {
            #[cfg(debug_assertions)]
            let _zone = leptos::reactive::diagnostics::SpecialNonReactiveZone::enter();
            owner.with(|| run.hear(event));
        };
        self.with_part(Part::Listener(name, SendWrapper::new(Box::new(run))))
    }

    /// Says where the element is, once it is there.
    pub fn node_ref<E>(self, reference: NodeRef<E>) -> Self
    where
        E: ElementType,
        E::Output: JsCast + 'static,
    {
        debug_assert_eq!(self.0.tag, E::TAG);
        self.with_part(Part::Reference(Box::new(move |node| reference.load(node))))
    }
}

impl Render for Element {
    type State = ElementState;

    fn build(self) -> ElementState {
        let Plan { tag, namespace, parts, children } = *self.0;
        let node = Rndr::create_element(tag, namespace);
        let parts = parts.into_iter().map(|part| part.set(&node, None)).collect();
        let mut children: Vec<_> = children.into_iter().map(AnyView::build).collect();
        for child in &mut children {
            child.mount(&node, None);
        }
        ElementState { tag, node, parts, children }
    }

    /// An element of another make takes the place of the old one; one of the same make leaves it where it is, with its focus and the like.
    fn rebuild(self, state: &mut ElementState) {
        let plan = &self.0;
        let same = plan.tag == state.tag
            && plan.children.len() == state.children.len()
            && plan.parts.len() == state.parts.len()
            && plan.parts.iter().zip(&state.parts).all(|(part, state)| part.replaces(state));
        if !same {
            let mut new = self.build();
            state.insert_before_this(&mut new);
            state.unmount();
            *state = new;
            return;
        }
        let old = std::mem::take(&mut state.parts);
        state.parts = self.0.parts.into_iter().zip(old).map(|(part, old)| part.set(&state.node, Some(old))).collect();
        for (child, state) in self.0.children.into_iter().zip(&mut state.children) {
            child.rebuild(state);
        }
    }
}

impl Mountable for ElementState {
    fn unmount(&mut self) {
        self.node.unmount();
    }

    fn mount(&mut self, parent: &Node, marker: Option<&leptos::tachys::renderer::types::Node>) {
        self.node.mount(parent, marker);
    }

    fn insert_before_this(&self, child: &mut dyn Mountable) -> bool {
        self.node.insert_before_this(child)
    }

    fn elements(&self) -> Vec<Node> {
        vec![self.node.clone()]
    }
}

/// Attributes that are given to a component go to its elements.
impl AddAnyAttr for Element {
    type Output<A: Attribute> = <AnyView as AddAnyAttr>::Output<A>;

    fn add_any_attr<A: Attribute>(self, attribute: A) -> Self::Output<A> {
        self.into_any().add_any_attr(attribute)
    }
}

/// Leptos asks every view how it is written and taken over where a server renders; this page has none, so these are never called.
const IN_THE_BROWSER: &str = "elements are drawn in the browser, by nobody else";

impl RenderHtml for Element {
    type AsyncOutput = Self;
    type Owned = Self;

    const MIN_LENGTH: usize = 0;

    fn dry_resolve(&mut self) {}

    async fn resolve(self) -> Self {
        self
    }

    fn to_html_with_buf(self, _: &mut String, _: &mut Position, _: bool, _: bool, _: Vec<AnyAttribute>) {
        unreachable!("{IN_THE_BROWSER}");
    }

    fn hydrate<const FROM_SERVER: bool>(self, _: &Cursor, _: &PositionState) -> ElementState {
        unreachable!("{IN_THE_BROWSER}");
    }

    fn into_owned(self) -> Self {
        self
    }
}
