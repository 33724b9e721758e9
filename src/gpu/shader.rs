//! What is compiled: WGSL texts, joined to a shader, and an entry point of it with its constants.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// A WGSL text and where it stands; the crate's own are files of `shaders/`.
///
/// Equal when path and text are: texts from elsewhere may share a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// File, or file and line of a text inside a Rust file.
    pub path: &'static str,
    /// The text.
    pub text: &'static str,
    /// Where the part is one of several that declare the same names, and exactly one of them goes
    /// into a shader: which one it is, e.g. `vec4` of the folder `common/lanes`.
    pub answer: Option<&'static str>,
    /// Whether it indexes within its bindings, and its loops end, whatever they hold.
    trusted: bool,
}

impl Part {
    /// A text from outside the crate: it is compiled with runtime checks.
    pub const fn new(path: &'static str, text: &'static str) -> Self {
        Self { path, text, answer: None, trusted: false }
    }

    /// A text of the crate's own.
    pub(crate) const fn own(
        path: &'static str,
        text: &'static str,
        answer: Option<&'static str>,
    ) -> Self {
        Self { path, text, answer, trusted: true }
    }

    /// Question and answer: `lanes=vec4` for the file `vec4` of the folder `lanes`.
    fn choice(&self) -> Option<String> {
        let answer = self.answer?;
        let question = self.path.rsplit('/').nth(1).unwrap_or_default();
        Some(format!("{question}={answer}"))
    }
}

impl Hash for Part {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Enough to tell almost all parts apart, and short.
        self.path.hash(state);
    }
}

/// WGSL source by name: the parts are joined in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shader {
    /// Name of the kernel family, for plans, errors and debuggers.
    pub name: &'static str,
    /// WGSL texts, shared functions first.
    pub parts: Cow<'static, [Part]>,
}

impl Shader {
    /// A shader whose parts are known when the program is compiled.
    pub const fn new(name: &'static str, parts: &'static [Part]) -> Self {
        Self { name, parts: Cow::Borrowed(parts) }
    }

    /// A shader whose parts are chosen while the program runs.
    pub fn joined(name: &'static str, parts: impl Into<Vec<Part>>) -> Self {
        Self { name, parts: Cow::Owned(parts.into()) }
    }

    /// The same without the runtime checks that texts from outside the crate are compiled with.
    ///
    /// # Safety
    /// Its kernels must keep to their bindings, whatever those hold, and end.
    #[must_use]
    pub unsafe fn trusted(mut self) -> Self {
        for part in self.parts.to_mut() {
            part.trusted = true;
        }
        self
    }

    /// Whether all its parts are known to keep to their bindings.
    pub(super) fn is_trusted(&self) -> bool {
        self.parts.iter().all(|part| part.trusted)
    }

    /// Which alternatives it was joined from ([`Part::answer`]), in order: `lanes=vec4`, …
    pub fn choices(&self) -> impl Iterator<Item = String> {
        self.parts.iter().filter_map(Part::choice)
    }
}

/// An entry point of a shader with its compile-time constants.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The shader.
    pub shader: Shader,
    /// Name of the entry point.
    pub entry: &'static str,
    /// `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// Constants that size local arrays, which WGSL does not allow to be overrides: the host
    /// prepends them as `const NAME: u32 = value;`.
    pub header: Vec<(&'static str, u32)>,
}

impl Kernel {
    /// A kernel without constants.
    pub fn new(shader: impl Into<Shader>, entry: &'static str) -> Self {
        Self { shader: shader.into(), entry, constants: Vec::new(), header: Vec::new() }
    }

    /// Sets an `override` constant.
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Sets an `override` constant that is a size.
    pub fn size(self, name: &'static str, value: usize) -> Self {
        self.constant(name, value as f64)
    }

    /// Sets a `const` of the prepended header.
    pub fn header(mut self, name: &'static str, value: u32) -> Self {
        self.header.push((name, value));
        self
    }

    /// The WGSL text that is compiled.
    pub fn source(&self) -> String {
        let code = self.shader.parts.iter().flat_map(|part| code_lines(part.text));
        self.directives().chain(self.header_lines()).chain(code).collect()
    }

    /// The same text with a comment in front of each part that names its file, for people.
    pub fn annotated_source(&self) -> String {
        let title = |path: &str| format!("// ---- {path}\n");
        let header = (!self.header.is_empty()).then(|| title("constants of this kernel"));
        let parts = self
            .shader
            .parts
            .iter()
            .flat_map(|part| std::iter::once(title(part.path)).chain(code_lines(part.text)));
        self.directives().chain(header).chain(self.header_lines()).chain(parts).collect()
    }

    /// `enable` directives, which come before all else.
    fn directives(&self) -> impl Iterator<Item = String> {
        let lines = self.shader.parts.iter().flat_map(|part| part.text.lines());
        lines.filter(|line| is_directive(line)).map(|line| format!("{line}\n"))
    }

    fn header_lines(&self) -> impl Iterator<Item = String> {
        self.header.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n"))
    }

    /// The files that the text was joined from, each with the line of [`source`](Self::source) at
    /// which it begins: what line numbers of a compiler's message refer to.
    pub fn origin(&self) -> String {
        let mut line = 1 + self.directives().count() + self.header.len();
        let mut files = Vec::new();
        for part in self.shader.parts.iter() {
            files.push(format!("{} from line {line}", part.path));
            line += code_lines(part.text).count();
        }
        files.join(", ")
    }

    /// Shader, entry point and the alternatives chosen: `relu::forward [lanes=vec4]`.
    pub fn variant(&self) -> String {
        let choices: Vec<String> = self.shader.choices().collect();
        if choices.is_empty() {
            self.to_string()
        } else {
            format!("{self} [{}]", choices.join(", "))
        }
    }
}

fn is_directive(line: &str) -> bool {
    line.starts_with("enable ")
}

/// A part's lines but its directives.
fn code_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| !is_directive(line)).map(|line| format!("{line}\n"))
}

impl From<&Shader> for Shader {
    fn from(shader: &Shader) -> Self {
        shader.clone()
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.shader.name, self.entry)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        // Constants bit by bit, so that a kernel equals itself whatever they are.
        let bits = |(name, value): &(&'static str, f64)| (*name, value.to_bits());
        self.entry == other.entry
            && self.header == other.header
            && self.constants.iter().map(bits).eq(other.constants.iter().map(bits))
            && self.shader == other.shader
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shader.hash(state);
        self.entry.hash(state);
        self.header.hash(state);
        for (name, value) in &self.constants {
            name.hash(state);
            value.to_bits().hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PATH: &str = "weights.wgsl";

    fn kernel(text: &'static str) -> Kernel {
        Kernel::new(Shader::joined("w", [Part::new(PATH, text)]), "main")
    }

    #[test]
    fn shaders_of_one_name_and_path_differ_by_their_text() {
        let kernels = HashSet::from([kernel("const A = 1;"), kernel("const A = 2;")]);
        assert_eq!(kernels.len(), 2);
        assert!(kernels.contains(&kernel("const A = 2;")));
    }

    #[test]
    fn directives_come_first_and_the_annotated_text_names_its_parts() {
        let kernel = kernel("enable f16;\nconst A = B;").header("B", 3);
        assert_eq!(kernel.source(), "enable f16;\nconst B: u32 = 3u;\nconst A = B;\n");
        let annotated = kernel.annotated_source();
        assert!(annotated.starts_with("enable f16;\n"), "{annotated}");
        assert!(annotated.ends_with("// ---- weights.wgsl\nconst A = B;\n"), "{annotated}");
    }

    #[test]
    fn the_origin_of_a_text_gives_the_line_where_each_file_begins() {
        let part = |path, text| Part::new(path, text);
        let parts = [part("a", "enable f16;\nconst A = 1;\n"), part("b", "const B = 2;")];
        let kernel = Kernel::new(Shader::joined("x", parts), "main").header("C", 3);
        assert_eq!(kernel.origin(), "a from line 3, b from line 4");
        assert_eq!(kernel.source().lines().nth(3), Some("const B = 2;"));
    }

    #[test]
    fn a_variant_is_named_by_the_alternatives_it_was_joined_from() {
        let part = |path, answer| Part::own(path, "", answer);
        let parts = [part("grid", None), part("lanes/wide", Some("wide")), part("x", None)];
        assert_eq!(
            Kernel::new(Shader::joined("x", parts), "main").variant(),
            "x::main [lanes=wide]"
        );
        assert_eq!(kernel("").variant(), "w::main");
    }
}
