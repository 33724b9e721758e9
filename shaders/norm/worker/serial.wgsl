// One invocation reduces a block of channels of a chunk.
const SLICES: u32 = 1u;

struct Worker { row: u32, block: u32, slice: u32 }

fn worker(of_grid: Invocation) -> Worker {
    let workgroup = workgroup_index(of_grid);
    let i = workgroup * WORKGROUP + of_grid.local;
    return Worker(i / BLOCKS, i % BLOCKS, 0u);
}

fn chunk_total(of_grid: Invocation, part: Lanes) -> Lanes {
    return part;
}
