// Imported before a program: its Date begins at FLOTILLA_TEST_DATE.
const RealDate = Date;
const shiftMs = RealDate.parse(process.env.FLOTILLA_TEST_DATE) - RealDate.now();
globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + shiftMs);
    else super(...args);
  }
  static now() {
    return RealDate.now() + shiftMs;
  }
};
