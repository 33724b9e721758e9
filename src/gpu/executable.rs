use std::collections::HashMap;

use super::context::check_buffer_size;
use super::{Access, Context, Dispatch, GpuError, Lifetime, Recording, TensorId, memory};

/// Buffers that the caller supplies for the external tensors of a recording, by label.
#[derive(Clone, Debug, Default)]
pub struct DeviceTensors {
    buffers: HashMap<String, wgpu::Buffer>,
}

impl DeviceTensors {
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Supplies a buffer for the tensor called `label`.
    pub fn insert(&mut self, label: impl Into<String>, buffer: wgpu::Buffer) {
        self.buffers.insert(label.into(), buffer);
    }

    /// The buffer of the tensor called `label`.
    pub fn get(&self, label: &str) -> Option<&wgpu::Buffer> {
        self.buffers.get(label)
    }
}

/// A prepared dispatch: everything that encoding needs.
#[derive(Debug)]
struct Prepared {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// A recording bound to a device: pipelines, buffers and bind groups made once, encoded often.
#[derive(Debug)]
pub struct Executable {
    recording: Recording,
    prepared: Vec<Prepared>,
    buffers: Vec<Option<wgpu::Buffer>>,
    allocated_bytes: u64,
}

impl Executable {
    /// Allocates the transient tensors, compiles the pipelines and makes the bind groups.
    ///
    /// # Errors
    /// When a tensor or dispatch exceeds the device's limits, an external tensor is missing, a
    /// pipeline does not compile, or memory runs out.
    pub fn new(
        context: &Context,
        recording: Recording,
        externals: &DeviceTensors,
    ) -> Result<Self, GpuError> {
        check_limits(&context.device.limits(), &recording)?;
        context.prepare(recording.dispatches.iter())?;
        let (buffers, allocated_bytes) = allocate(context, &recording, externals)?;
        let mut executable = Self { recording, prepared: Vec::new(), buffers, allocated_bytes };
        let prepare = |dispatch| executable.prepare(context, dispatch);
        executable.prepared =
            executable.recording.dispatches.iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(executable)
    }

    /// The recording that this runs.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Bytes of device memory allocated for transient and output tensors.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated_bytes
    }

    /// The buffer that holds a tensor, from its first byte on.
    pub fn buffer(&self, tensor: TensorId) -> Option<&wgpu::Buffer> {
        self.buffers[tensor.0].as_ref()
    }

    /// Encodes all dispatches, in order, into the caller's pass.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.encode_range(pass, 0..self.prepared.len());
    }

    /// Encodes some of the dispatches, so that a caller can put work of its own in between. Those
    /// past the end are ignored.
    pub fn encode_range(&self, pass: &mut wgpu::ComputePass<'_>, range: std::ops::Range<usize>) {
        for dispatch in self.prepared.iter().skip(range.start).take(range.len()) {
            let [x, y, z] = dispatch.workgroups;
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    fn prepare(&self, context: &Context, dispatch: &Dispatch) -> Result<Prepared, GpuError> {
        let pipeline = context.pipeline(dispatch)?;
        let mut entries = Vec::with_capacity(dispatch.bindings.len());
        for (index, binding) in (0u32..).zip(&dispatch.bindings) {
            let buffer = self.buffer(binding.tensor).ok_or_else(|| {
                GpuError::MissingTensor(self.recording.tensor(binding.tensor).label.clone())
            })?;
            entries.push(wgpu::BindGroupEntry {
                binding: index,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 4 * binding.offset as u64,
                    size: std::num::NonZeroU64::new(4 * binding.len as u64),
                }),
            });
        }
        let bind_group = context.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        Ok(Prepared { pipeline: pipeline.pipeline, bind_group, workgroups: dispatch.workgroups })
    }
}

/// Refuses what the device cannot hold or run, by name.
fn check_limits(limits: &wgpu::Limits, recording: &Recording) -> Result<(), GpuError> {
    for dispatch in &recording.dispatches {
        for binding in &dispatch.bindings {
            let bytes = 4 * binding.len as u64;
            let (limit, limit_name) = match binding.access {
                Access::Uniform => {
                    (limits.max_uniform_buffer_binding_size, "max_uniform_buffer_binding_size")
                }
                _ => (limits.max_storage_buffer_binding_size, "max_storage_buffer_binding_size"),
            };
            if bytes > limit {
                let tensor = recording.tensor(binding.tensor).label.clone();
                return Err(GpuError::TensorTooLarge { tensor, bytes, limit, limit_name });
            }
        }
        let storage = dispatch.bindings.iter().filter(|b| b.access != Access::Uniform).count();
        let widest = dispatch.workgroups.into_iter().max().unwrap_or(0);
        let checks = [
            ("storage bindings", storage as u64, limits.max_storage_buffers_per_shader_stage),
            (
                "workgroups in one dimension",
                widest.into(),
                limits.max_compute_workgroups_per_dimension,
            ),
        ];
        for (what, needed, limit) in checks {
            if needed > u64::from(limit) {
                let (dispatch, limit) = (dispatch.label.clone(), limit.into());
                return Err(GpuError::DispatchTooLarge { dispatch, what, needed, limit });
            }
        }
    }
    // Bound in parts, a tensor may fit every binding and still no buffer.
    let owned =
        |tensor: &&super::Tensor| matches!(tensor.lifetime, Lifetime::Transient | Lifetime::Output);
    for tensor in recording.tensors.iter().filter(owned) {
        check_buffer_size(limits, &tensor.label, tensor.bytes())?;
    }
    Ok(())
}

/// One buffer a memory slot, the caller's buffers for the rest.
fn allocate(
    context: &Context,
    recording: &Recording,
    externals: &DeviceTensors,
) -> Result<(Vec<Option<wgpu::Buffer>>, u64), GpuError> {
    let plan = memory::plan(recording);
    let scope = context.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let slots: Vec<wgpu::Buffer> = plan
        .slots
        .iter()
        .map(|&size| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("l2rw transient"),
                size,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
        .collect();
    if let Some(error) = pollster::block_on(scope.pop()) {
        return Err(GpuError::OutOfMemory {
            what: "the activations of the plan".into(),
            bytes: plan.bytes(),
            reason: error.to_string(),
        });
    }
    let buffer_of = |(index, tensor): (usize, &super::Tensor)| match tensor.lifetime {
        Lifetime::External | Lifetime::ExternalUniform => externals.get(&tensor.label).cloned(),
        Lifetime::Transient | Lifetime::Output => {
            plan.slot_of[index].map(|slot| slots[slot].clone())
        }
    };
    let buffers = recording.tensors.iter().enumerate().map(buffer_of).collect();
    Ok((buffers, plan.bytes()))
}
