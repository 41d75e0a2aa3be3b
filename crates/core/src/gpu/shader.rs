//! The WGSL files of `shaders/`, and what Rust needs to know of them, read from their own text.
//!
//! A shader declares bindings and parameters in one form only, which [`Interface`] finds line by line:
//!
//! ```wgsl
//! @group(0) @binding(2) var<storage, read> x: array<X4>;      // the tensor bound as "x", as vec4 of its element type X
//! struct Params { rows: u32, scale: f32 }                     // scalars of 4 bytes
//! @group(0) @binding(1) var<uniform> params: Params;
//! ```
//!
//! `X`, `X2` and `X4` are aliases that the preamble makes: of `f32`, or of `f16` where the tensor is stored so. `LARGEST_X` is the largest
//! number of that type. Binding 0 is the replay's [`Step`](crate::step::Step), declared in `common.wgsl`. A shader may have a file of
//! functions put in front of it that it shares with another. There is no other preprocessing: what varies is an `override` constant.

use std::fmt::Write as _;

use crate::order;
use crate::program::DType;

/// A WGSL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// File name without `.wgsl`.
    pub name: &'static str,
    source: &'static str,
}

/// A source without its comments and indentation, of which a visitor of the page would download 60 KB. Lines keep their numbers.
macro_rules! bare {
    ($source:expr) => {{
        const SOURCE: &str = $source;
        const BARE: [u8; bare_len(SOURCE)] = bare(SOURCE);
        match std::str::from_utf8(&BARE) {
            Ok(source) => source,
            Err(_) => unreachable!(),
        }
    }};
}

/// Bytes of [`bare`].
const fn bare_len(source: &str) -> usize {
    let mut scan = Scan::new(source.as_bytes());
    let mut len = 0;
    while scan.next().is_some() {
        len += 1;
    }
    len
}

/// A source without comments and indentation, known when the program is compiled.
const fn bare<const N: usize>(source: &str) -> [u8; N] {
    let mut scan = Scan::new(source.as_bytes());
    let mut bare = [0; N];
    let mut len = 0;
    while let Some(byte) = scan.next() {
        bare[len] = byte;
        len += 1;
    }
    bare
}

/// Goes over what is no comment and no indentation. (WGSL has no strings in which `//` could stand for something else.)
struct Scan<'a> {
    source: &'a [u8],
    at: usize,
    line_begins: bool,
}

impl<'a> Scan<'a> {
    const fn new(source: &'a [u8]) -> Self {
        Self { source, at: 0, line_begins: true }
    }

    const fn next(&mut self) -> Option<u8> {
        while self.at < self.source.len() {
            let byte = self.source[self.at];
            self.at += 1;
            if byte == b'\n' {
                self.line_begins = true;
            } else if self.line_begins && byte == b' ' {
                continue;
            } else if byte == b'/' && self.at < self.source.len() && self.source[self.at] == b'/' {
                while self.at < self.source.len() && self.source[self.at] != b'\n' {
                    self.at += 1;
                }
                continue;
            } else {
                self.line_begins = false;
            }
            return Some(byte);
        }
        None
    }
}

macro_rules! shaders {
    ($($(#[$doc:meta])* $constant:ident = $name:literal $(after $shared:literal)?;)*) => {
        $($(#[$doc])* pub const $constant: Shader = Shader {
            name: $name,
            source: bare!(concat!(
                $(include_str!(concat!("../../../../shaders/", $shared, ".wgsl")),)?
                include_str!(concat!("../../../../shaders/", $name, ".wgsl")),
            )),
        };)*
        /// Every shader but `common`.
        pub const ALL: &[Shader] = &[$($constant),*];
    };
}

shaders! {
    /// AdamW and the moving average.
    ADAMW = "adamw";
    /// Attention, and its weights for showing.
    ATTENTION = "attention" after "attention_tiles";
    /// Attention's backward pass.
    ATTENTION_BACKWARD = "attention_backward" after "attention_tiles";
    /// Cross-entropy of given logits, forward and backward.
    CROSS_ENTROPY = "cross_entropy";
    /// `dx = dy · mask / (1 - p)`.
    DROPOUT = "dropout";
    /// Token and position embedding, forward and backward.
    EMBEDDING = "embedding";
    /// Gradient norm, clip factor and loss scale.
    GRAD_NORM = "grad_norm";
    /// Logits, cross-entropy and its gradient for small vocabularies.
    HEAD = "head";
    /// The ring of losses.
    HISTORY = "history";
    /// Decoding attention and its cache.
    KV_CACHE = "kv_cache";
    /// The matrix product in its three layouts.
    LINEAR = "linear";
    /// Frozen matrices with their adapters.
    LORA = "lora";
    /// The matrix-vector product of decoding.
    MATVEC = "matvec";
    /// Layer norm, RMS norm, query and key norm, forward and backward.
    NORM = "norm";
    /// The float16 copies, codes and scales that decoding reads.
    QUANTIZE = "quantize";
    /// Rotary position embedding, either way.
    ROPE = "rope";
    /// Drawing a token.
    SAMPLE = "sample";
    /// The gated unit, forward and backward.
    SWIGLU = "swiglu";
}

/// What the shaders share: the step, randomness, the activations.
const COMMON: &str = bare!(include_str!("../../../../shaders/common.wgsl"));

/// How a shader uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// A declared storage buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingDeclaration {
    /// Its variable's name.
    pub name: String,
    /// Its number.
    pub binding: u32,
    /// How it is used.
    pub access: Access,
    /// The alias of its element type, without a vector's size: `X` of `array<X4>`. `None` where the shader fixes the type.
    pub alias: Option<String>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// `u32`.
    U32,
    /// `f32`.
    F32,
}

/// What a shader declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its storage buffers.
    pub bindings: Vec<BindingDeclaration>,
    /// The fields of `struct Params`, in order.
    pub params: Vec<(String, ParamType)>,
}

impl Shader {
    /// Reads the declarations.
    ///
    /// # Panics
    /// When a declaration is not in the one form that there is.
    pub fn interface(&self) -> Interface {
        let mut interface = Interface::default();
        let mut in_params = false;
        for line in self.source.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            let malformed = || -> ! { panic!("{}.wgsl: cannot read the declaration `{line}`", self.name) };
            if let Some(rest) = line.strip_prefix("@group(0) @binding(") {
                let Some((number, rest)) = rest.split_once(") var<") else { malformed() };
                let Some((space, rest)) = rest.split_once("> ") else { malformed() };
                let access = match space {
                    "uniform" => continue,
                    "storage, read" => Access::Read,
                    "storage, read_write" => Access::ReadWrite,
                    _ => malformed(),
                };
                let Some((name, ty)) = rest.split_once(": array<") else { malformed() };
                let Some(element) = ty.strip_suffix(">;") else { malformed() };
                let Ok(binding) = number.parse() else { malformed() };
                let alias = element.trim_end_matches(['2', '4']);
                let fixed = ["u32", "i32", "f32", "vec"].iter().any(|t| element.starts_with(t));
                let alias = (!fixed).then(|| alias.to_owned());
                interface.bindings.push(BindingDeclaration { name: name.into(), binding, access, alias });
            } else if line.starts_with("struct Params {") {
                in_params = true;
            } else if in_params && line.starts_with('}') {
                in_params = false;
            } else if in_params && !line.is_empty() {
                let Some((name, ty)) = line.trim_end_matches(',').split_once(": ") else { malformed() };
                let ty = match ty {
                    "u32" => ParamType::U32,
                    "f32" => ParamType::F32,
                    _ => malformed(),
                };
                interface.params.push((name.into(), ty));
            }
        }
        interface
    }

    /// The value of a line `const NAME = 256u;`, so that a size which both sides need is written once.
    ///
    /// # Panics
    /// When there is no such line.
    pub fn constant(&self, name: &str) -> usize {
        let lines = self.source.lines();
        let value =
            lines.filter_map(|line| line.strip_prefix("const ")?.strip_prefix(name)?.strip_prefix(" = ")).next();
        let value = value.and_then(|rest| rest.split("u;").next()?.parse().ok());
        value.unwrap_or_else(|| panic!("{}.wgsl has no line `const {name} = …u;`", self.name))
    }

    /// The whole module: preamble, `common.wgsl`, the shader. `types` says which aliases stand for what; the others are `f32`.
    pub fn module(&self, types: &[(String, DType)]) -> String {
        let mut text = String::new();
        if types.iter().any(|(_, ty)| *ty == DType::F16) {
            text.push_str("enable f16;\n");
        }
        let mut aliases: Vec<String> = self.interface().bindings.into_iter().filter_map(|b| b.alias).collect();
        order::sort(&mut aliases);
        aliases.dedup();
        for alias in aliases {
            let ty = types.iter().find(|(name, _)| *name == alias).map_or(DType::F32, |(_, ty)| *ty);
            // All its digits: rounded, float32's would be too large for it.
            let (largest, upper) = (f64::from(ty.largest()), alias.to_ascii_uppercase());
            let ty = ty.wgsl();
            let _ = writeln!(text, "alias {alias} = {ty}; alias {alias}2 = vec2<{ty}>; alias {alias}4 = vec4<{ty}>;");
            let _ = writeln!(text, "const LARGEST_{upper} = {largest:e};");
        }
        text + COMMON + self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_lose_comments_and_indentation_and_keep_their_lines() {
        assert_eq!(bare!("// a\n    let x = a / b; // c\n\n  y  // d"), "\nlet x = a / b; \n\ny  ");
    }
}
