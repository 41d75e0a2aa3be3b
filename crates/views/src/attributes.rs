//! The attributes that `view!` sets by methods of their names. (Others, such as `data-index` and all of SVG, go through
//! [`attr`](Element::attr).)

use crate::{Element, Value};

macro_rules! attributes {
    ($($method:ident $name:literal)*) => {
        impl Element { $(
            #[doc = concat!("Sets `", $name, "`.")]
            #[inline(always)]
            pub fn $method(self, value: impl Into<Value>) -> Self {
                self.attr($name, value)
            }
        )* }
    };
}

attributes! {
    accept "accept"
    aria_busy "aria-busy"
    aria_checked "aria-checked"
    aria_current "aria-current"
    aria_describedby "aria-describedby"
    aria_disabled "aria-disabled"
    aria_expanded "aria-expanded"
    aria_hidden "aria-hidden"
    aria_invalid "aria-invalid"
    aria_label "aria-label"
    aria_labelledby "aria-labelledby"
    aria_live "aria-live"
    aria_orientation "aria-orientation"
    aria_pressed "aria-pressed"
    aria_selected "aria-selected"
    aria_valuemax "aria-valuemax"
    aria_valuemin "aria-valuemin"
    aria_valuenow "aria-valuenow"
    aria_valuetext "aria-valuetext"
    autocapitalize "autocapitalize"
    autocomplete "autocomplete"
    checked "checked"
    colspan "colspan"
    disabled "disabled"
    download "download"
    r#for "for"
    height "height"
    hidden "hidden"
    href "href"
    id "id"
    inputmode "inputmode"
    max "max"
    maxlength "maxlength"
    min "min"
    multiple "multiple"
    name "name"
    open "open"
    placeholder "placeholder"
    readonly "readonly"
    role "role"
    rows "rows"
    scope "scope"
    selected "selected"
    size "size"
    spellcheck "spellcheck"
    start "start"
    step "step"
    tabindex "tabindex"
    title "title"
    r#type "type"
    value "value"
    width "width"
}
