// Unpacks the headless Chromium that the npm package @sparticuz/chromium carries into the folder given as
// the only argument, and prints the path of its binary. The package unpacks into the temporary directory.
const [folder] = process.argv.slice(2);
if (!folder) throw new Error('usage: node stand_in.mjs FOLDER');
process.env.TMPDIR = folder;
const { default: chromium } = await import('@sparticuz/chromium');
console.log(await chromium.executablePath());
