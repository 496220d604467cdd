module.exports = require('nowhere');
