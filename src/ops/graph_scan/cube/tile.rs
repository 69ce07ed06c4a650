//! What the fused kernels share: how the state of a cube is laid out, and the products on it.
//!
//! A cube holds the state of one sample and `dg` channels, (v, dg, n), in shared memory as vectors
//! of four along n. A unit owns `tv` vertices × `nt4` vectors of one channel: it alone writes them,
//! all units read them. Neighbouring units share a channel: what mixes over n then reads the same
//! vectors in neighbouring units, which the memory serves at once.

use cubecl::prelude::*;

/// Four consecutive values along n (or four vertices, in the packed P).
pub type V4 = Vector<f32, Const<4>>;

/// Sizes and choices a fused kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Vertices.
    pub v: usize,
    /// State, in vectors of four (padded with zeros).
    pub n4: usize,
    /// Vertices that a unit owns.
    pub tv: usize,
    /// Vectors of four along n that a unit owns.
    pub nt4: usize,
    /// Channels of a cube.
    pub dg: usize,
    /// Vectors of a tile of dW along its columns.
    pub tn4: usize,
    /// Units of a cube.
    pub units: usize,
    /// Steps between two checkpoints; 0: none are written.
    pub every: usize,
    /// gconv_A has W_root.
    pub root: bool,
    /// gconv_C has W_root, so C1 exists.
    pub c1: bool,
    /// There is a skip D.
    pub skip: bool,
    /// There is a state before the first step.
    pub state: bool,
    /// There is a gradient of the last state.
    pub state_grad: bool,
    /// Units of a plane that can exchange values; 0: they cannot, or the number is not known.
    pub plane: usize,
    /// P differs from sample to sample.
    pub p_batch: bool,
    /// P differs from step to step.
    pub p_steps: bool,
    /// P is given by its edges and has no gradient.
    pub sparse: bool,
}

impl Plan {
    /// Groups of `tv` vertices.
    pub const fn groups(&self) -> usize {
        self.v.div_ceil(self.tv)
    }

    /// Rows of the state in shared memory: vertices rounded up to whole groups, and to whole
    /// tiles of dP.
    pub const fn rows(&self) -> usize {
        let tiled = 4 * self.v.div_ceil(4);
        let grouped = self.tv * self.groups();
        if tiled > grouped { tiled } else { grouped }
    }

    /// Vectors of the registers of a unit.
    pub const fn owned(&self) -> usize {
        self.tv * self.nt4
    }

    /// Vectors of the packed P that hold the rows of a group.
    pub const fn p_vectors(&self) -> usize {
        self.tv.div_ceil(4)
    }

    /// Units side by side along n.
    pub const fn slices(&self) -> usize {
        self.n4 / self.nt4
    }

    /// Channels after which one vector is left free in shared memory.
    ///
    /// The memory serves eight vectors at a time, which have to differ in their index modulo 8.
    /// With the gap both ways of reading do: neighbouring units their own vectors, and units of
    /// neighbouring channels the same vector of each.
    pub const fn gap(&self) -> usize {
        let mut gap = 8;
        let mut n4 = self.n4;
        while gap > 1 && n4.is_multiple_of(2) {
            gap /= 2;
            n4 /= 2;
        }
        gap
    }

    /// First vector of a channel of a row.
    pub const fn channel(&self, lane: usize) -> usize {
        lane * self.n4 + lane / self.gap()
    }

    /// Vectors from one vertex to the next; odd likewise.
    pub const fn row_pitch(&self) -> usize {
        self.channel(self.dg) | 1
    }

    /// Vectors of one state buffer. It ends half way through the memory's eight vectors, so that
    /// units which read the same vectors of two buffers do not meet.
    pub const fn buffer(&self) -> usize {
        (self.rows() * self.row_pitch() + 4).next_multiple_of(8) - 4
    }

    /// Units that own a part of the state.
    pub const fn owners(&self) -> usize {
        self.dg * self.slices() * self.groups()
    }

    /// Values of a sum over slices that go through shared memory.
    pub const fn slice_sums(&self) -> usize {
        if self.slices() > 1 && !self.shuffles() {
            self.slices() * self.slice_pitch()
        } else {
            1
        }
    }

    /// Neighbouring units of one plane hold the slices, and can add them without shared memory.
    pub const fn shuffles(&self) -> bool {
        self.slices().is_power_of_two()
            && self.plane.is_multiple_of(self.slices())
            && self.plane > 0
    }

    /// Values from one slice to the next in those sums; neighbouring slices lie in different banks.
    pub const fn slice_pitch(&self) -> usize {
        (self.rows() * self.dg).next_multiple_of(32) + 8
    }

    /// Vectors of the packed P of one step.
    pub const fn p_size(&self) -> usize {
        if self.sparse {
            // It stays in global memory.
            1
        } else {
            self.v * self.groups() * self.p_vectors()
        }
    }

    /// Vectors of an (n, n) matrix.
    pub const fn w_size(&self) -> usize {
        4 * self.n4 * self.n4
    }
}

/// Where a unit stands.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    /// Channel within the cube.
    pub lane: usize,
    /// First of its vertices.
    pub row: usize,
    /// Which group of vertices.
    pub group: usize,
    /// Its first vector along n.
    pub col: usize,
    /// Which slice of n.
    pub slice: usize,
    /// Channel, clamped to the last one.
    pub d: usize,
    /// It owns a part of the state, of an existing channel.
    pub active: bool,
    /// It owns a part of the state, maybe of a channel beyond the last.
    pub owner: bool,
}

#[cube]
pub fn place(d_len: usize, #[comptime] s: Plan) -> Place {
    let unit = UNIT_POS as usize;
    let owner = unit < comptime!(s.owners());
    // Units beyond the owners shadow the last one: they read in bounds and write nothing.
    let part = select(owner, unit, comptime!(s.owners() - 1).runtime());
    let slice = part % comptime!(s.slices());
    let lane = (part / comptime!(s.slices())) % s.dg;
    let group = part / comptime!(s.dg * s.slices());
    let d = CUBE_POS_X as usize * s.dg + lane;
    let inside = d < d_len;
    Place {
        lane,
        row: group * s.tv,
        group,
        col: slice * s.nt4,
        slice,
        d: select(inside, d, d_len - 1),
        active: inside && owner,
        owner,
    }
}

/// Index of vector `n4` of (row, lane) in a state buffer.
#[cube]
pub fn at(row: usize, lane: usize, n4: usize, #[comptime] s: Plan) -> usize {
    row * comptime!(s.row_pitch()) + lane * s.n4 + lane / comptime!(s.gap()) + n4
}

/// acc[k][j] += Σ_w M[row + k, w] x[w][.., col + j]; `m` holds M packed by [`pack_p`].
#[cube]
pub fn propagate(
    acc: &mut Array<V4>,
    m: &Shared<[V4]>,
    x: &Shared<[V4]>,
    me: &Place,
    #[comptime] s: Plan,
) {
    let base = at(0usize, me.lane, me.col, s);
    let weights = me.group * comptime!(s.p_vectors());
    let whole = comptime!(s.v / UNROLL);
    for i in 0..whole {
        #[unroll]
        for c in 0..UNROLL {
            propagate_from(acc, m, x, i * UNROLL + c, base, weights, s);
        }
    }
    #[unroll]
    for w in comptime!(whole * UNROLL)..s.v {
        propagate_from(acc, m, x, w.runtime(), base, weights, s);
    }
}

/// Neighbours whose loads are in flight together.
const UNROLL: usize = 4;

/// The part of [`propagate`] that comes from vertex w.
#[cube]
fn propagate_from(
    acc: &mut Array<V4>,
    m: &Shared<[V4]>,
    x: &Shared<[V4]>,
    w: usize,
    base: usize,
    weights: usize,
    #[comptime] s: Plan,
) {
    let mut weight = Array::<V4>::new(comptime!(s.p_vectors()));
    #[unroll]
    for i in 0..comptime!(s.p_vectors()) {
        weight[i] = m[w * comptime!(s.groups() * s.p_vectors()) + weights + i];
    }
    #[unroll]
    for j in 0..s.nt4 {
        let value = x[base + w * comptime!(s.row_pitch()) + j];
        #[unroll]
        for k in 0..s.tv {
            let i = comptime!(k * s.nt4 + j);
            acc[i] = fma(
                V4::new(weight[comptime!(k / 4)].extract(comptime!(k % 4))),
                value,
                acc[i],
            );
        }
    }
}

/// [`propagate`], with M in `m` or, if the plan says so, with the sparse matrix that begins at vector
/// `half` of `edges` (see [`pack`](crate::ops::sparse::packed::pack)).
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn spread(
    acc: &mut Array<V4>,
    m: &Shared<[V4]>,
    edges: &[V4],
    half: usize,
    x: &Shared<[V4]>,
    me: &Place,
    #[comptime] s: Plan,
) {
    if comptime!(s.sparse) {
        let base = at(0usize, me.lane, me.col, s);
        #[unroll]
        for k in 0..s.tv {
            let row = min(me.row + k, comptime!(s.v - 1));
            let first = edge_place(edges, half, row);
            let end = edge_place(edges, half, row + 1);
            // Rows that fill up a group have no entries.
            let end = select(me.row + k < s.v, end, first);
            for edge in 0..end - first {
                let pair = edges[first + edge];
                #[unroll]
                for c in 0..2usize {
                    let source = edge_source(pair, c);
                    let weight = edge_weight(pair, c);
                    let from = base + source * comptime!(s.row_pitch());
                    #[unroll]
                    for j in 0..s.nt4 {
                        let i = comptime!(k * s.nt4 + j);
                        acc[i] = fma(weight, x[from + j], acc[i]);
                    }
                }
            }
        }
    } else {
        propagate(acc, m, x, me, s);
    }
}

/// The vector with which a row of the sparse matrix that begins at `half` starts.
#[cube]
pub fn edge_place(edges: &[V4], half: usize, row: usize) -> usize {
    half + u32::cast_from(pick(edges[half + row / 4], row % 4)) as usize
}

/// Column of one of the two entries of a vector of a sparse matrix.
#[cube]
pub fn edge_source(pair: V4, #[comptime] c: usize) -> usize {
    u32::cast_from(pair.extract(comptime!(2 * c))) as usize
}

/// Weight of such an entry, in all four places.
#[cube]
pub fn edge_weight(pair: V4, #[comptime] c: usize) -> V4 {
    V4::new(pair.extract(comptime!(2 * c + 1)))
}

/// acc[k][j] += Σ_m x[row + k][m] W[m][col + j], over all m; `w` holds W as [m][n4] vectors, `x`
/// is the state buffer that starts at `offset`.
#[cube]
pub fn mix(
    acc: &mut Array<V4>,
    x: &Shared<[V4]>,
    #[comptime] offset: usize,
    w: &Shared<[V4]>,
    me: &Place,
    #[comptime] s: Plan,
) {
    let base = at(me.row, me.lane, offset, s);
    #[unroll(s.n4 <= 4)]
    for m4 in 0..s.n4 {
        let mut row = Array::<V4>::new(s.tv);
        #[unroll]
        for k in 0..s.tv {
            row[k] = x[base + comptime!(k * s.row_pitch()) + m4];
        }
        #[unroll]
        for c in 0..4usize {
            #[unroll]
            for j in 0..s.nt4 {
                let weight = w[(m4 * 4 + c) * s.n4 + me.col + j];
                #[unroll]
                for k in 0..s.tv {
                    let i = comptime!(k * s.nt4 + j);
                    acc[i] = fma(V4::new(row[k].extract(c)), weight, acc[i]);
                }
            }
        }
    }
}

/// Writes a unit's part of a state buffer that starts at `offset`.
#[cube]
pub fn put(
    into: &mut Shared<[V4]>,
    #[comptime] offset: usize,
    from: &Array<V4>,
    me: &Place,
    #[comptime] s: Plan,
) {
    if me.owner {
        let base = at(me.row, me.lane, me.col + offset, s);
        #[unroll]
        for k in 0..s.tv {
            #[unroll]
            for j in 0..s.nt4 {
                into[base + comptime!(k * s.row_pitch() + j)] = from[comptime!(k * s.nt4 + j)];
            }
        }
    }
}

/// Index of a unit's own vector in a state buffer.
#[cube]
pub fn at_own(
    me: &Place,
    #[comptime] k: usize,
    #[comptime] j: usize,
    #[comptime] s: Plan,
) -> usize {
    at(me.row, me.lane, me.col, s) + comptime!(k * s.row_pitch() + j)
}

/// Zero where the channel does not exist: what sums over channels read.
#[cube]
pub fn kept_if(active: bool, x: V4) -> V4 {
    x * V4::new(select(active, 1.0f32, 0.0f32))
}

/// As [`put`], zeros for channels that do not exist.
#[cube]
pub fn put_active(into: &mut Shared<[V4]>, from: &Array<V4>, me: &Place, #[comptime] s: Plan) {
    if me.owner {
        let base = at(me.row, me.lane, me.col, s);
        #[unroll]
        for k in 0..s.tv {
            #[unroll]
            for j in 0..s.nt4 {
                into[base + comptime!(k * s.row_pitch() + j)] =
                    kept_if(me.active, from[comptime!(k * s.nt4 + j)]);
            }
        }
    }
}

/// Sum over the slices of n, where [`Plan::shuffles`].
#[cube]
pub fn over_slices(x: f32, #[comptime] s: Plan) -> f32 {
    let mut sum = x;
    #[unroll]
    for i in 0..comptime!(s.slices().ilog2()) {
        sum += plane_shuffle_xor(sum, comptime!(1u32 << i));
    }
    sum
}

/// Fills a unit's registers with zeros.
#[cube]
pub fn clear(x: &mut Array<V4>, #[comptime] s: Plan) {
    #[unroll]
    for i in 0..comptime!(s.owned()) {
        x[i] = V4::new(0.0f32);
    }
}

/// Sum of the four components.
#[cube]
pub fn total(x: V4) -> f32 {
    (x.extract(0usize) + x.extract(1usize)) + (x.extract(2usize) + x.extract(3usize))
}

/// Copies `len` vectors into shared memory, all units together.
#[cube]
pub fn stage(
    into: &mut Shared<[V4]>,
    from: &[V4],
    offset: usize,
    #[comptime] len: usize,
    #[comptime] s: Plan,
) {
    for i in 0..comptime!(len.div_ceil(s.units)) {
        let k = i * s.units + UNIT_POS as usize;
        if k < len {
            into[k] = from[offset + k];
        }
    }
}

/// As [`stage`], but the transposed (n, n) matrix.
#[cube]
pub fn stage_transposed(into: &mut Shared<[V4]>, from: &[V4], #[comptime] s: Plan) {
    let len = comptime!(4 * s.n4 * s.n4);
    for i in 0..comptime!(len.div_ceil(s.units)) {
        let k = i * s.units + UNIT_POS as usize;
        if k < len {
            // Row r of the transpose, columns 4 c4 .. 4 c4 + 4.
            let r = k / s.n4;
            let c4 = k % s.n4;
            let mut out = V4::new(0.0f32);
            #[unroll]
            for c in 0..4 {
                let vector = from[(c4 * 4 + c) * s.n4 + r / 4];
                out.insert(c, pick(vector, r % 4));
            }
            into[k] = out;
        }
    }
}

/// A component chosen at run time.
#[cube]
pub fn pick(x: V4, i: usize) -> f32 {
    let low = select(i == 0, x.extract(0usize), x.extract(1usize));
    let high = select(i == 2, x.extract(2usize), x.extract(3usize));
    select(i < 2, low, high)
}

/// First vector of the packed P of a sample and step.
#[cube]
pub fn p_offset(sample: usize, t: usize, l: usize, #[comptime] s: Plan) -> usize {
    let size = comptime!(s.p_size());
    let which = if comptime!(s.p_batch && s.p_steps) {
        sample * l + t
    } else if comptime!(s.p_batch) {
        sample
    } else if comptime!(s.p_steps) {
        t
    } else {
        0usize.runtime()
    };
    which * size
}

/// Packs P for [`propagate`]: for every source w the weights towards a group of `tv` targets,
/// padded with zeros to whole vectors, [w][group][vector]; `pt` for P, `pn` for its transpose. One
/// unit per vector.
#[cube(launch_unchecked)]
pub fn pack_p(
    p: &[f32],
    pt: &mut [V4],
    pn: &mut [V4],
    count: usize,
    #[comptime] v: usize,
    #[comptime] tv: usize,
    #[comptime] both: bool,
) {
    let vectors = comptime!(tv.div_ceil(4));
    let size = comptime!(v * v.div_ceil(tv) * vectors);
    let i = ABSOLUTE_POS;
    if i < count * size {
        let base = (i / size) * comptime!(v * v);
        let part = i % vectors;
        let group = (i / vectors) % comptime!(v.div_ceil(tv));
        let w = (i % size) / comptime!(v.div_ceil(tv) * vectors);
        let mut transposed = V4::new(0.0f32);
        let mut plain = V4::new(0.0f32);
        #[unroll]
        for c in 0..4usize {
            let k = part * 4 + c;
            let target = group * tv + k;
            if k < tv && target < v {
                transposed.insert(c, p[base + target * v + w]);
                if comptime!(both) {
                    plain.insert(c, p[base + w * v + target]);
                }
            }
        }
        pt[i] = transposed;
        if comptime!(both) {
            pn[i] = plain;
        }
    }
}
