module.exports = require('danger');
