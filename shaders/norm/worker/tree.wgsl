// SLICES invocations of a workgroup, a power of two, reduce a block of channels of a chunk;
// neighbours have neighbouring blocks.

// From the header: SLICES
const BLOCKS_A_GROUP: u32 = WORKGROUP / SLICES;

struct Worker { row: u32, block: u32, slice: u32 }

fn worker(of_grid: Workgroup, local: u32) -> Worker {
    let workgroup = index_of(of_grid);
    let groups_a_row = (BLOCKS + BLOCKS_A_GROUP - 1u) / BLOCKS_A_GROUP;
    let block = workgroup % groups_a_row * BLOCKS_A_GROUP + local % BLOCKS_A_GROUP;
    return Worker(workgroup / groups_a_row, block, local / BLOCKS_A_GROUP);
}

var<workgroup> slices: array<Lanes, WORKGROUP>;

// Σ over the slices of the invocation's block, in a fixed order.
fn chunk_total(local: u32, part: Lanes) -> Lanes {
    slices[local] = part;
    workgroupBarrier();
    for (var half = SLICES / 2u; half > 0u; half /= 2u) {
        if local < half * BLOCKS_A_GROUP {
            slices[local] += slices[local + half * BLOCKS_A_GROUP];
        }
        workgroupBarrier();
    }
    let sum = slices[local % BLOCKS_A_GROUP];
    workgroupBarrier();
    return sum;
}
