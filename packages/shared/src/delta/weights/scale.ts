/** 1 / n: a product is faster than a quotient. */
const RECIPROCALS: Float64Array = Float64Array.from({ length: 513 }, (_, n) => 1 / Math.max(1, n));

/**
 * How large the next change of a weight will be, foretold from those before it: the mean change of its column times how
 * much this row differs from the columns' means. Sums, products and quotients only: the same on every machine.
 */
export class ScaleEstimate {
  /** Below this all counts as no change, and no quotient leaves the range of doubles. */
  static readonly FLOOR = 1e-30;
  /** A row begins as if it had seen so many values of the columns' means. */
  static readonly ROW_PRIOR = 3;

  /** Estimated size of the next change. */
  estimate = 1;
  /** Recent size over estimated size. */
  recent = 1;
  rowRatio = 1;
  columnMean = 1;
  /** Sign of recent changes in this row and column, -1 … 1. */
  rowSign = 0;
  columnSign = 0;
  column = 0;
  /** Log2 in quarters of the last change, and of the one above, -1000 when there was none. */
  lastLog4 = -1000;
  above = new Int16Array(0);

  #columns = new Float64Array(0);
  #columnSigns = new Float64Array(0);
  #count = 0;
  #row = 0;
  #mean = ScaleEstimate.FLOOR;
  #seen = 0;
  #rowInverse = 1;
  #columnRate = 1;
  #rowWeight = ScaleEstimate.ROW_PRIOR;

  static readonly #MAX_RATIO = 24;
  static readonly #ROW_MEMORY = 192;
  static readonly #COLUMN_MEMORY = 40;
  static readonly #MEAN_MEMORY = 512;

  /** Everything forgotten, as new; the memory is kept. */
  reset(): void {
    this.estimate = 1;
    this.recent = 1;
    this.lastLog4 = -1000;
    this.#mean = ScaleEstimate.FLOOR;
    this.#seen = 0;
    this.#columnRate = 1;
  }

  /** Begins a tensor whose rows have this many columns. */
  begin(columns: number): void {
    if (this.#columns.length < columns) {
      this.#columns = new Float64Array(columns);
      this.#columnSigns = new Float64Array(columns);
      this.above = new Int16Array(columns);
    }
    this.#count = columns;
    this.#columns.fill(this.#mean, 0, columns);
    this.#columnSigns.fill(0, 0, columns);
    this.above.fill(-1000, 0, columns);
    this.#seen = Math.min(this.#seen, 2);
    this.#row = 0;
    this.column = 0;
    this.#beginRow();
    this.look();
  }

  /** Sets the estimates for the element at `column`. */
  look(): void {
    this.columnMean = this.#columns[this.column] ?? 0;
    this.columnSign = this.#columnSigns[this.column] ?? 0;
    this.estimate = this.columnMean * this.rowRatio;
  }

  /** Learns the size and sign of the change at `column` and goes on to the next. */
  learn(size: number, sign: number): void {
    const column = this.column;
    const mean = this.columnMean;
    const inverse = this.#rowInverse;
    let quotient = 0;
    let off = 0;
    if (size !== 0) {
      quotient = size / (mean < ScaleEstimate.FLOOR ? ScaleEstimate.FLOOR : mean);
      off = quotient * inverse;
    }
    this.recent += ((off > 8 ? 8 : off) - this.recent) * 0.125;
    this.#columns[column] = mean + (size * inverse - mean) * this.#columnRate;
    this.#columnSigns[column] = this.columnSign + (sign - this.columnSign) * 0.08;
    this.rowSign += (sign - this.rowSign) * 0.06;
    if (this.#rowWeight < ScaleEstimate.#ROW_MEMORY) this.#rowWeight += 1;
    const most = ScaleEstimate.#MAX_RATIO;
    this.rowRatio +=
      ((quotient > most ? most : quotient) - this.rowRatio) * (RECIPROCALS[this.#rowWeight] ?? 0);
    this.#rowInverse = 1 / (this.rowRatio < 0.02 ? 0.02 : this.rowRatio);
    if (this.#seen < ScaleEstimate.#MEAN_MEMORY) this.#seen += 1;
    this.#mean += (size - this.#mean) * (RECIPROCALS[this.#seen] ?? 0);
    this.#advance();
  }

  /** Goes on without learning: nothing changed here, or what did has no size. */
  skip(count: number): void {
    for (let i = 0; i < count; i++) this.#advance();
  }

  #advance(): void {
    this.column += 1;
    if (this.column === this.#count) {
      this.column = 0;
      if (this.#row === 0) this.#settleFirstRow();
      this.#row += 1;
      this.#beginRow();
    }
  }

  /** After one row a column knows one value: that says little, so it is pulled to the mean of all. */
  #settleFirstRow(): void {
    for (let i = 0; i < this.#count; i++)
      this.#columns[i] = ((this.#columns[i] ?? 0) + 2 * this.#mean) / 3;
  }

  #beginRow(): void {
    const memory = ScaleEstimate.#COLUMN_MEMORY;
    this.#columnRate = 1 / ((this.#row < memory ? this.#row : memory) + 1.6);
    this.rowRatio = 1;
    this.#rowInverse = 1;
    this.rowSign = 0;
    this.#rowWeight = ScaleEstimate.ROW_PRIOR;
  }
}
