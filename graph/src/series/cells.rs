//! Values of a series, of its own or in a mapped file.

use arrow::buffer::ScalarBuffer;
use arrow::datatypes::ArrowNativeType;
use ndarray::{Array3, ArrayView3};

/// (time, nodes, features), row-major in one piece of memory. Copies share it.
#[derive(Debug, Clone)]
pub(crate) struct Cells<T: ArrowNativeType> {
    values: ScalarBuffer<T>,
    dim: (usize, usize, usize),
}

impl<T: ArrowNativeType> Cells<T> {
    pub fn new(array: Array3<T>) -> Self {
        let dim = array.dim();
        let count = array.len();
        let values = match array.is_standard_layout() {
            // A slice of a larger array keeps that: what is before it and behind it goes.
            true => {
                let (mut values, offset) = array.into_raw_vec_and_offset();
                let first = offset.unwrap_or(0);
                values.truncate(first + count);
                values.drain(..first);
                values
            }
            false => array.iter().copied().collect(),
        };
        Self {
            values: ScalarBuffer::from(values),
            dim,
        }
    }

    /// Values that lie somewhere; `None` where there are not as many.
    pub fn of(values: ScalarBuffer<T>, dim: (usize, usize, usize)) -> Option<Self> {
        (size(dim) == Some(values.len())).then_some(Self { values, dim })
    }

    pub fn dim(&self) -> (usize, usize, usize) {
        self.dim
    }

    pub fn buffer(&self) -> &ScalarBuffer<T> {
        &self.values
    }

    pub fn view(&self) -> ArrayView3<'_, T> {
        // Both constructors see to the size.
        ArrayView3::from_shape(self.dim, &self.values).expect("as many as the shape says")
    }

    /// The value at a place.
    ///
    /// # Panics
    /// Outside the shape.
    pub fn at(&self, step: usize, node: usize, feature: usize) -> T {
        let (_, v, f) = self.dim;
        assert!(node < v && feature < f, "no such node or feature");
        self.values[(step * v + node) * f + feature]
    }
}

fn size((l, v, f): (usize, usize, usize)) -> Option<usize> {
    l.checked_mul(v)?.checked_mul(f)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};

    use super::*;

    #[test]
    fn any_layout_comes_out_row_major() {
        let all = Array3::from_shape_fn((4, 3, 2), |(t, v, f)| (100 * t + 10 * v + f) as f32);
        for array in [
            all.clone(),
            all.clone().slice_move(s![1..3, .., ..]),
            all.clone().slice_move(s![..;2, .., 1..]),
            all.clone().reversed_axes(),
        ] {
            let cells = Cells::new(array.clone());
            assert_eq!(cells.view(), array);
            let (l, v, f) = array.dim();
            assert_eq!(cells.at(l - 1, v - 1, f - 1), array[[l - 1, v - 1, f - 1]]);
        }
        assert!(Cells::of(ScalarBuffer::from(vec![0u8; 6]), (3, 2, 1)).is_some());
        assert!(Cells::of(ScalarBuffer::from(vec![0u8; 7]), (3, 2, 1)).is_none());
        assert!(Cells::of(ScalarBuffer::from(vec![0u8; 0]), (usize::MAX, 2, 1)).is_none());
    }
}
