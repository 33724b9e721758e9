//! How a [`Recording`] is made: tensors, then dispatches over them, then [`Recorder::finish`].

use super::{
    Access, Binding, Dispatch, ElementType, GpuError, Kernel, Lifetime, Recording, Tensor,
    TensorId, Tuning,
};

/// Builds a [`Recording`].
#[derive(Debug, Default)]
pub struct Recorder {
    recording: Recording,
    stage: &'static str,
    label: String,
    tuning: Tuning,
    rounding: bool,
    trusted: bool,
    fences: Vec<usize>,
    gathered: Vec<Gathered>,
}

/// A tensor that the caller fills between two dispatches with the content of others.
#[derive(Clone, Copy, Debug)]
pub struct Gathered {
    /// What goes out.
    pub own: TensorId,
    /// What has to be there then: the content of `own` and of its like elsewhere, in order.
    pub into: TensorId,
    /// Index of the first dispatch that needs it.
    pub before_dispatch: usize,
}

impl Recorder {
    /// An empty recording of kernels that suit a GPU.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how the kernels to come are written.
    pub fn tune(&mut self, tuning: Tuning) {
        self.tuning = tuning;
    }

    /// Whether the dispatches to come keep to their bindings as far as their shaders do: sizes and
    /// grids are the crate's.
    pub(crate) fn trust(&mut self, trusted: bool) {
        self.trusted = trusted;
    }

    /// Whether kernels to come may round their factors to [`Staging::precision`](super::Staging):
    /// where only the optimizer's step depends on what they compute, and no similarity. At first
    /// they may not.
    pub fn allow_rounding(&mut self, allowed: bool) {
        self.rounding = allowed;
    }

    /// How kernels are written.
    pub fn tuning(&self) -> Tuning {
        if self.rounding { self.tuning } else { self.tuning.exact() }
    }

    /// Sets the stage of the dispatches to come. They stay behind those of the stage before.
    pub fn stage(&mut self, stage: &'static str) {
        self.fence();
        self.stage = stage;
    }

    /// Keeps the dispatches recorded so far in front of those to come, whatever their order among
    /// themselves becomes. Returns the number of the former: the index at which a caller can put
    /// work of its own in between ([`Executable::encode_range`](super::Executable::encode_range)).
    pub fn fence(&mut self) -> usize {
        let count = self.recording.dispatches.len();
        if self.fences.last() != Some(&count) {
            self.fences.push(count);
        }
        count
    }

    /// A tensor of `len` floats that the caller fills before whatever is recorded next: with what
    /// `own` holds then, among what others have gathered ([`Recorder::all_gathered`]).
    pub fn gather(&mut self, own: TensorId, len: usize) -> TensorId {
        let label = format!("gathered/{}", self.gathered.len());
        let into = self.external(label, ElementType::F32, len);
        let before_dispatch = self.fence();
        self.gathered.push(Gathered { own, into, before_dispatch });
        into
    }

    /// What the caller has to gather during a run, in order.
    pub fn all_gathered(&self) -> &[Gathered] {
        &self.gathered
    }

    /// Sets the label of the dispatches and transient tensors to come, e.g. the layer's name.
    pub fn label(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Adds a tensor.
    pub fn tensor(&mut self, tensor: Tensor) -> TensorId {
        self.recording.tensors.push(tensor);
        TensorId(self.recording.tensors.len() - 1)
    }

    /// Adds a tensor that the caller supplies.
    pub fn external(
        &mut self,
        label: impl Into<String>,
        element: ElementType,
        len: usize,
    ) -> TensorId {
        self.tensor(Tensor { label: label.into(), len, element, lifetime: Lifetime::External })
    }

    /// A tensor of fixed content, for a uniform binding; the same tensor for the same content.
    pub fn constants(&mut self, content: Vec<u32>) -> TensorId {
        if let Some((id, _)) = self.recording.constants.iter().find(|(_, known)| *known == content)
        {
            return *id;
        }
        let number = self.recording.constants.len();
        let (label, len, element) =
            (format!("constants {number}"), content.len(), ElementType::U32);
        let id = self.tensor(Tensor { label, len, element, lifetime: Lifetime::Constant });
        self.recording.constants.push((id, content));
        id
    }

    /// Adds a transient tensor of floats, named after the current stage, label and `what`.
    pub fn transient(&mut self, what: &str, len: usize) -> TensorId {
        self.transient_of(what, ElementType::F32, len)
    }

    /// Adds a transient tensor.
    pub fn transient_of(&mut self, what: &str, element: ElementType, len: usize) -> TensorId {
        let label = format!("{}/{}/{}", self.stage, self.label, what);
        self.tensor(Tensor { label, len, element, lifetime: Lifetime::Transient })
    }

    /// Keeps a tensor readable after the run, under a label of its own.
    pub fn keep(&mut self, id: TensorId, label: &str) {
        let tensor = &mut self.recording.tensors[id.0];
        if tensor.lifetime == Lifetime::Transient {
            tensor.lifetime = Lifetime::Output;
            tensor.label = label.to_owned();
        }
    }

    /// Number of elements of a tensor.
    pub fn len(&self, id: TensorId) -> usize {
        self.recording.tensor(id).len
    }

    /// Finds a tensor by its label.
    pub fn find(&self, label: &str) -> Option<TensorId> {
        self.recording.find(label)
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.recording.dispatches.is_empty()
    }

    /// The whole of a tensor as a binding.
    pub fn whole(&self, tensor: TensorId, access: Access) -> Binding {
        Binding { tensor, offset: 0, len: self.len(tensor), access }
    }

    /// The whole of a tensor, read.
    pub fn read(&self, tensor: TensorId) -> Binding {
        self.whole(tensor, Access::Read)
    }

    /// The whole of a tensor, overwritten.
    pub fn write(&self, tensor: TensorId) -> Binding {
        self.whole(tensor, Access::Write)
    }

    /// Appends a dispatch.
    pub fn dispatch(
        &mut self,
        kernel: Kernel,
        bindings: Vec<Binding>,
        workgroups: [u32; 3],
        flops: u64,
    ) {
        let (stage, label) = (self.stage, self.label.clone());
        let trusted = self.trusted && kernel.shader.is_trusted();
        self.recording.dispatches.push(Dispatch {
            stage,
            label,
            kernel,
            bindings,
            workgroups,
            flops,
            trusted,
        });
    }

    /// Ends recording, checks it, and brings dispatches that need nothing of each other together.
    pub fn finish(self) -> Result<Recording, GpuError> {
        let mut recording = self.recording;
        recording.validate()?;
        recording.schedule(&self.fences);
        Ok(recording)
    }
}
