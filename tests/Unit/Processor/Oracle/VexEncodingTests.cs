using Hypervisor.Engine.Processor;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Random bytes behind the VEX prefixes, registers only: what is reserved (vvvv, L, W, maps, opcodes) raises #UD on both processors, what
/// is an instruction does the same on both.
/// </summary>
[Collection("Oracle")]
public sealed class VexEncodingTests
{
    private const int Cases = 8_000;
    private const long InvalidOpcode = 6;

    [OracleFact]
    public void Reserved_vex_encodings_raise_ud_as_on_the_hosts_processor()
    {
        if (!HostProcessor.HasAvx)
        {
            return;
        }

        using var native = new NativeProcessor();
        using var interpreted = new InterpretedProcessor();
        var failures = new List<string>();
        int cases = OracleTests.Setting("HYPERVISOR_ORACLE_CASES", Cases);
        int seed = OracleTests.Setting("HYPERVISOR_ORACLE_SEED", 1);
        int reserved = 0;
        for (int at = 0; at < cases; at++)
        {
            byte[] bytes = Encode(new Random(seed + at));
            var instruction = Decoder.Create(64, bytes, OracleLayout.Code).Decode();
            bool known = !instruction.IsInvalid && InstructionTable.IsKnown(instruction.Code);
            if ((known && !HostProcessor.Executes(instruction.Code)) || instruction.Mnemonic is Mnemonic.Vmaskmovdqu || DiffersBetweenMakers(bytes))
            {
                continue;
            }

            reserved += instruction.IsInvalid ? 1 : 0;
            var test = new CaseGenerator([], seed + at).MakeRaw(instruction.IsInvalid ? bytes : bytes[..instruction.Length], instruction);
            if (!known && !instruction.IsInvalid)
            {
                // Of an extension that this processor does not have, and the host perhaps does.
                var state = test.Initial;
                interpreted.Run(test.Code, ref state);
                if (state.Vector != InvalidOpcode)
                {
                    failures.Add($"seed {seed + at}: {instruction.Code} is unknown and did not raise #UD");
                }
            }
            else if (OracleComparison.Run(native, interpreted, test) is { } report)
            {
                failures.Add($"seed {seed + at}: {Convert.ToHexString(bytes)}\n{report}");
            }
        }

        Assert.True(failures.Count == 0, $"{failures.Count} of {cases} differ.\n{string.Join('\n', failures.Take(20))}");
        Assert.True(reserved > cases / 10);
    }

    private static byte[] Encode(Random random)
    {
        byte[] bytes = new byte[8];
        random.NextBytes(bytes);
        int at = 1;
        if (random.Next(3) == 0)
        {
            bytes[0] = 0xC5;
        }
        else
        {
            // One of the maps there are, as a rule.
            bytes[0] = 0xC4;
            bytes[at++] = (byte)((random.Next(8) << 5) | (random.Next(16) == 0 ? random.Next(32) : random.Next(1, 4)));
        }

        // vvvv all ones half of the time: where there is no third operand it must be.
        bytes[at] |= (byte)(random.Next(2) == 0 ? 0x78 : 0);
        bytes[at + 2] |= 0xC0;

        // INT3 where a host that knows more goes on.
        bytes.AsSpan(at + 4).Fill(0xCC);
        return bytes;
    }

    // VPERMQ and VPERMPD demand W = 1 (SDM vol. 2C); AMD's processors take both.
    private static bool DiffersBetweenMakers(byte[] bytes) =>
        bytes[0] == 0xC4 && (bytes[1] & 31) == 3 && (bytes[2] & 0x80) == 0 && bytes[3] is 0 or 1;
}
