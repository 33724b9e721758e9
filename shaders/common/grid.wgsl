// Kernels with an invocation for each element: their workgroups, and which element is whose.
const WORKGROUP: u32 = 64u;

// Linear index of an invocation in a grid that the host folded into two dimensions.
fn linear_index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x * WORKGROUP + id.x;
}
