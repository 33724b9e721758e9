// Leaves examples out whose images are not finite: no loss, no gradient, no weight.

override EXAMPLES: u32;
// Floats of an image.
override IMAGE: u32;
override CLASSES: u32;

@group(0) @binding(0) var<storage, read_write> images: array<u32>;
@group(0) @binding(1) var<storage, read_write> labels: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn leave_out(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let example = linear_index(id, groups);
    if example >= EXAMPLES {
        return;
    }
    let first = example * IMAGE;
    var usable = true;
    for (var i = first; i < first + IMAGE; i++) {
        usable = usable && is_finite(images[i]);
    }
    if !usable {
        // Zero times infinity would come back in the gradients of the others.
        for (var i = first; i < first + IMAGE; i++) {
            images[i] = 0u;
        }
        labels[example] = CLASSES;
    }
}
