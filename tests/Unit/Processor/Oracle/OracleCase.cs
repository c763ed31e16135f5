using System.Text;
using Decoder = Iced.Intel.Decoder;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>A block with the registers and memory that it starts from.</summary>
internal sealed class OracleCase
{
    public required byte[] Code { get; init; }

    /// <summary>Width of the code.</summary>
    public int Bits { get; init; } = 64;

    public required byte[] Data { get; init; }

    public required MachineState Initial { get; init; }

    /// <summary>Flags that the architecture leaves undefined at the end.</summary>
    public required ulong UndefinedFlags { get; init; }

    /// <summary>Flags that were undefined at any point of the block: not compared when it ends in a fault.</summary>
    public required ulong EverUndefinedFlags { get; init; }

    /// <summary>Offset of four bytes in the scratch memory that may differ between makers; -1 for none.</summary>
    public int IgnoredData { get; init; } = -1;

    /// <summary>Its instructions, for a person.</summary>
    public string Text()
    {
        var decoder = Decoder.Create(Bits, Code, OracleLayout.Code);
        var text = new StringBuilder();
        while (decoder.IP < OracleLayout.Code + (ulong)Code.Length)
        {
            ulong at = decoder.IP;
            var instruction = decoder.Decode();
            var bytes = Code.AsSpan((int)(at - OracleLayout.Code), instruction.Length);
            text.Append($"  {at:x}  {Convert.ToHexString(bytes),-24} {instruction}\n");
        }

        return text.ToString();
    }
}
